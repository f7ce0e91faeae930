import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.search.killed_process import simulate_out_of_memory_kills
from tests.search.tiny_search import tiny_candidate, tiny_context, tiny_stage
from tf_efficientbert.search.oom_guard import OomGuard
from tf_efficientbert.search.trained_alone import TrainedAlone

_CGROUPS = Path("/sys/fs/cgroup")
_LIMITS = (("memory", "memory.limit_in_bytes"), (".", "memory.max"))  # versions 1 and 2
_WORK = """
import os, signal, sys
from pathlib import Path
from tf_efficientbert.search.oom_guard import OomGuard
guard = OomGuard(Path(sys.argv[1]))
print(guard.kills, flush=True)
with guard:
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    kept = []
    while sys.argv[2] == "too-large":
        kept.append(b"1" * 2**24)
"""


@contextlib.contextmanager
def _little_memory(size):
    """Creates a control group limited to `size` bytes; yields its file for process ids.

    Needs root; skips the test if control groups cannot be created.
    """
    for folder, limit in _LIMITS:
        group = _CGROUPS / folder / f"tf_efficientbert_test_{os.getpid()}"
        if not (_CGROUPS / folder / "cgroup.procs").exists():
            continue
        try:
            group.mkdir()
        except OSError as error:
            pytest.skip(f"no memory can be limited: {error}")
        try:
            if not (group / limit).exists():
                continue
            (group / limit).write_text(str(size))
            yield group / "cgroup.procs"
            return
        finally:
            group.rmdir()
    pytest.skip("no memory can be limited: there are no control groups")


def _work(path, fate, procs="/dev/null"):
    script = f'echo $$ > "{procs}" && exec "$0" -c "$@"'
    command = ["sh", "-c", script, sys.executable, _WORK, str(path), fate]
    return subprocess.run(command, capture_output=True, text=True)


def _proc(folder, kills, boot="this"):
    """Creates a folder with the counters of /proc."""
    (folder / "sys/kernel/random").mkdir(parents=True, exist_ok=True)
    (folder / "sys/kernel/random/boot_id").write_text(f"{boot}\n")
    (folder / "vmstat").write_text(f"pgfault 12\noom_kill {kills}\n")
    return folder


def test_the_next_process_detects_an_out_of_memory_kill(tmp_path):
    path = tmp_path / "made" / "running.json"
    for before in (0, 1):
        with _little_memory(2**28) as procs:
            done = _work(path, "too-large", procs)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert done.stdout.split() == [str(before)]
    guard = OomGuard(path)
    assert guard.kills == 2


def test_a_kill_for_another_reason_is_not_counted(tmp_path):
    path, proc = tmp_path / "running.json", _proc(tmp_path / "proc", kills=7)
    for _ in range(2):
        guard = OomGuard(path, proc)
        assert guard.kills == 0
        guard.__enter__()
    assert path.exists()


def test_kills_are_counted_once_each_and_kept_after_a_reboot(tmp_path):
    path, proc = tmp_path / "running.json", _proc(tmp_path / "proc", kills=0)
    for kernel, expected in ((0, 0), (2, 1), (2, 1), (3, 2)):
        guard = OomGuard(path, _proc(proc, kernel))
        assert guard.kills == OomGuard(path, proc).kills == expected
        guard.__enter__()
    assert OomGuard(path, _proc(proc, kills=9, boot="other")).kills == 2


def test_a_process_that_ends_normally_leaves_no_file(tmp_path):
    done = _work(tmp_path / "running.json", "ends")
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyError), OomGuard(tmp_path / "running.json"):
        raise KeyError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("counters", ["", "oom_kill many\n", "oom_kill\n", None])
def test_without_a_kill_count_nothing_is_reported(tmp_path, counters):
    path, proc = tmp_path / "running.json", _proc(tmp_path / "proc", kills=0)
    if counters is None:
        (proc / "vmstat").unlink()
    else:
        (proc / "vmstat").write_text(counters)
    OomGuard(path, proc).__enter__()
    assert path.exists()
    assert OomGuard(path, _proc(proc, kills=9)).kills == 0


def test_after_an_out_of_memory_kill_candidates_are_trained_one_by_one(tmp_path):
    simulate_out_of_memory_kills(tmp_path / "training-2-3.json")
    simulate_out_of_memory_kills(tmp_path / "training-3.json", times=2)
    other = tiny_candidate(("linear2_4(swish(linear2_4(x,wb1)),wb2)",) * 2)
    outcomes = TrainedAlone(tiny_context(), tiny_stage(), tmp_path).evaluate(
        {2: tiny_candidate(), 3: other}
    )
    assert outcomes[2].score is not None
    assert outcomes[3].score is None
    assert outcomes[3].reason == "out of memory: the kernel killed the process that trained it"
