import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.search.tiny_search import tiny_candidate, tiny_context, tiny_stage
from tf_efficientbert.search import evaluator, oom_guard
from tf_efficientbert.search.evaluator import TrainedAlone
from tf_efficientbert.search.oom_guard import OomGuard

_CGROUPS = Path("/sys/fs/cgroup")
_LIMITS = (("memory", "memory.limit_in_bytes"), (".", "memory.max"))  # versions 1 and 2
_WORK = """
import os, signal, sys
from pathlib import Path
from tf_efficientbert.search.oom_guard import OomGuard
guard = OomGuard(Path(sys.argv[1]))
print(guard.killed_twice(), flush=True)
with guard:
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    kept = []
    while sys.argv[2] == "too-large":
        kept.append(b"1" * 2**24)
"""


class _Killed(BaseException):
    """What no one catches."""


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


def test_what_the_kernel_killed_twice_for_want_of_memory_is_known_as_such(tmp_path, monkeypatch):
    path = tmp_path / "made" / "at-work.json"
    for before in (False, False):
        with _little_memory(2**28) as procs:
            done = _work(path, "too-large", procs)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert done.stdout.split() == [str(before)]
    assert OomGuard(path).killed_twice()
    # Started again, the machine counts from 0; and what is known is not forgotten.
    monkeypatch.setattr(oom_guard, "_kills", lambda: {"boot": "other", "count": 0})
    assert OomGuard(path).killed_twice()


def test_what_someone_killed_was_not_short_of_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(oom_guard, "_kills", lambda: {"boot": "this", "count": 7})
    path = tmp_path / "at-work.json"
    for _ in range(3):
        guard = OomGuard(path)
        assert not guard.killed_twice()
        guard.__enter__()
    assert _work(path, "killed").returncode == -signal.SIGKILL
    assert path.exists()


def test_one_kill_of_another_process_is_not_taken_for_one_s_own(tmp_path, monkeypatch):
    count = 0
    monkeypatch.setattr(oom_guard, "_kills", lambda: {"boot": "this", "count": count})
    path = tmp_path / "at-work.json"
    for kills, known in ((0, False), (3, False), (3, False), (4, True), (4, True)):
        count = kills
        guard = OomGuard(path)
        assert guard.killed_twice() == known
        if not known:
            guard.__enter__()


def test_what_ends_by_itself_leaves_nothing_behind(tmp_path):
    done = _work(tmp_path / "at-work.json", "ends")
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyError), OomGuard(tmp_path / "at-work.json"):
        raise KeyError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("counters", ["", "oom_kill many\n", "oom_kill\n", None])
def test_where_the_kernel_does_not_count_nothing_is_claimed(tmp_path, monkeypatch, counters):
    file = tmp_path / "vmstat"
    if counters is not None:
        file.write_text(counters)
    monkeypatch.setattr(oom_guard, "_COUNTERS", file)
    path = tmp_path / "at-work.json"
    OomGuard(path).__enter__()
    assert json.loads(path.read_text())["kills"] is None
    assert not OomGuard(path).killed_twice()


def test_a_group_the_kernel_killed_is_trained_one_by_one_and_who_is_killed_alone_fails(
    tmp_path, monkeypatch
):
    kills = {"boot": "this", "count": 0}
    monkeypatch.setattr(oom_guard, "_kills", lambda: dict(kills))
    other = tiny_candidate(("linear2_4(swish(linear2_4(x,wb1)),wb2)",) * 2)
    group, context = {2: tiny_candidate(), 3: other}, tiny_context()
    trained = []

    def train_group(*, learners, own=evaluator.train_group, **arguments):
        trained.append(tuple(learners))
        if 3 in learners:
            kills["count"] += 1
            raise _Killed
        return own(learners=learners, **arguments)

    monkeypatch.setattr(evaluator, "train_group", train_group)

    def leave(self, kind, *others, own=OomGuard.__exit__):
        if kind is not _Killed:  # or else the file stays
            own(self, kind, *others)

    monkeypatch.setattr(OomGuard, "__exit__", leave)
    for _ in range(4):
        with pytest.raises(_Killed):
            TrainedAlone(context, tiny_stage(), tmp_path).evaluate(group)
    assert trained == [(2, 3), (2, 3), (2,), (3,), (2,), (3,)]
    outcomes = TrainedAlone(context, tiny_stage(), tmp_path).evaluate(group)
    assert outcomes[2].score is not None
    assert outcomes[3].reason.startswith("out of memory: the kernel ended the process")
