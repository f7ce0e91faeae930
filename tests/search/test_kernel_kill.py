import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.search.tiny_search import tiny_candidate, tiny_material, tiny_stage
from tf_efficientbert.search import kernel_kill
from tf_efficientbert.search.evaluator import TrainedAlone
from tf_efficientbert.search.kernel_kill import AtWork

_CGROUPS = Path("/sys/fs/cgroup")
_LIMITS = (("memory", "memory.limit_in_bytes"), (".", "memory.max"))  # versions 1 and 2
_WORK = """
import os, signal, sys
from pathlib import Path
from tf_efficientbert.search.kernel_kill import AtWork
with AtWork(Path(sys.argv[1])):
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    kept = []
    while sys.argv[2] == "too-large":
        kept.append(b"1" * 2**24)
"""


@contextlib.contextmanager
def _little_memory(size):
    """What a process writes its number to for having only so much; where that is forbidden, skips.

    It takes root.
    """
    for folder, limit in _LIMITS:
        group = _CGROUPS / folder / "tf_efficientbert_test"
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


def test_what_the_kernel_killed_for_want_of_memory_is_known_as_such_and_stays_so(
    tmp_path, monkeypatch
):
    path = tmp_path / "made" / "at-work.json"
    with _little_memory(2**28) as procs:
        done = _work(path, "too-large", procs)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert AtWork(path).was_killed
    # Started again, the machine counts from 0.
    monkeypatch.setattr(kernel_kill, "_kills", lambda: {"boot": "other", "count": 0})
    assert AtWork(path).was_killed


def test_what_someone_killed_was_not_short_of_memory(tmp_path):
    done = _work(tmp_path / "at-work.json", "killed")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / "at-work.json").exists()
    assert not AtWork(tmp_path / "at-work.json").was_killed


def test_what_ends_by_itself_leaves_nothing_behind(tmp_path):
    done = _work(tmp_path / "at-work.json", "ends")
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyError), AtWork(tmp_path / "at-work.json"):
        raise KeyError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("counters", ["", "oom_kill many\n", "oom_kill\n", None])
def test_where_the_kernel_does_not_count_nothing_is_claimed(tmp_path, monkeypatch, counters):
    file = tmp_path / "vmstat"
    if counters is not None:
        file.write_text(counters)
    monkeypatch.setattr(kernel_kill, "_COUNTERS", file)
    path = tmp_path / "at-work.json"
    AtWork(path).__enter__()
    assert json.loads(path.read_text())["kills"] is None
    assert not AtWork(path).was_killed


def test_a_group_the_kernel_killed_is_trained_one_by_one_and_who_is_killed_alone_fails(
    tmp_path, monkeypatch
):
    kills = {"boot": "this", "count": 0}
    monkeypatch.setattr(kernel_kill, "_kills", lambda: dict(kills))
    group = {
        2: tiny_candidate(),
        3: tiny_candidate(("linear2_4(swish(linear2_4(x,wb1)),wb2)",) * 2),
    }
    for indices in ("2-3", "3"):  # by two processes
        AtWork(tmp_path / f"at-work-{indices}.json").__enter__()
        kills["count"] += 1
    outcomes = TrainedAlone(tiny_material(), tiny_stage(), tmp_path).evaluate(group)
    assert outcomes[2].score is not None
    assert outcomes[3].reason == "out of memory: the kernel ended the process that trained it"
