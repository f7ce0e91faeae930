import json
import math
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.errors import UserError
from tf_efficientbert.search.study import COMPLETE, FAILED, Study, Trial, best_of

_REPOSITORY = Path(__file__).resolve().parents[2]
_ARCHITECTURE = Architecture.from_preset("efficientbert")


def _trial(index=0, **changes):
    values = {
        "index": index,
        "architecture": _ARCHITECTURE,
        "parameters": 15_738_000,
        "seed": 2**31 - 1,
        "state": COMPLETE,
        "score": 0.1 + 0.2,  # 0.30000000000000004
        "loss": 1 / 3,
    }
    return Trial(**{**values, **changes})


def _failed(index=0, **changes):
    return _trial(index, state=FAILED, score=None, loss=None, reason="diverged: …", **changes)


_TRIALS = [
    _trial(0, seconds=12.25, losses=(0.1, 1e-300, 3e38)),
    _failed(1),
    _trial(2, score=0.0, loss=0.0, reused=True),
    _trial(3, score=-0.25, loss=7.0),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study.journal"


def _filled(path, trials=_TRIALS):
    study = Study(path)
    study.begin("joint")
    study.note("joint", fits=[])
    for trial in trials:
        study.add("joint", trial)
    return study


def test_another_process_reads_the_trials_as_they_were_added(path):
    _filled(path)
    assert Study(path, writable=False).trials("joint") == _TRIALS
    assert Study(path).trials("joint") == _TRIALS


def test_a_writer_sees_what_it_added(path):
    assert _filled(path).trials("joint") == _TRIALS


def test_stages_are_separate_and_in_order(path):
    study = Study(path)
    for number, name in enumerate(("sizes", "joint", "formulas")):
        study.begin(name)
        study.note(name, planned=number)
        study.add(name, _trial(0, seed=number))
    read = Study(path, writable=False)
    assert read.stages == ["sizes", "joint", "formulas"]
    assert [read.trials(name)[0].seed for name in read.stages] == [0, 1, 2]
    assert [read.notes(name)["planned"] for name in read.stages] == [0, 1, 2]


def test_a_stage_that_has_not_started_has_no_trials(path):
    assert Study(path).trials("joint") == []


def test_notes_are_kept_until_they_are_replaced(path):
    study = Study(path)
    study.begin("joint")
    study.note("joint", fits=[], ended=False, metric="accuracy")
    study.note("joint", fits=[{"candidates": 6}], ended=True)
    expected = {"fits": [{"candidates": 6}], "ended": True, "metric": "accuracy"}
    assert Study(path, writable=False).notes("joint") == expected


# === The best ===


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"score": 0.6, "loss": 9.0, "parameters": 9}, {"score": 0.5, "loss": 1.0}),
        ({"score": 0.5, "loss": 1.0, "parameters": 9}, {"score": 0.5, "loss": 1.5}),
        ({"score": 0.5, "loss": 1.0, "parameters": 5}, {"score": 0.5, "loss": 1.0}),
        ({"score": -0.1, "loss": 1.0}, {"score": -0.2, "loss": 1.0}),
    ],
    ids=["score", "loss", "parameters", "negative score"],
)
def test_the_best_has_the_highest_score_then_the_lower_loss_then_fewer_parameters(better, worse):
    trials = [_trial(0, **{"parameters": 7, **worse}), _trial(1, **{"parameters": 7, **better})]
    assert best_of(trials) == trials[1]
    assert best_of(trials[::-1]) == trials[1]


def test_between_equal_trials_the_earlier_is_best():
    assert best_of([_trial(2), _trial(1), _trial(3)]).index == 1


def test_a_failed_trial_is_never_best():
    assert best_of([_failed(0), _trial(1, score=-1.0), _failed(2)]).index == 1


@pytest.mark.parametrize("trials", [[], [_failed(0), _failed(1)]])
def test_without_complete_trials_there_is_no_best(trials):
    assert best_of(trials) is None


# === JSON description ===


def test_the_description_is_json_with_the_index_of_the_best(path):
    study = _filled(path)
    study.begin("formulas")
    study.note("formulas", planned=4)
    joint, formulas = described = study.described()
    assert json.loads(json.dumps(described, allow_nan=False)) == described
    assert (joint["name"], joint["fits"], joint["best"]) == ("joint", [], 0)
    assert [Trial.from_described(each) for each in joint["candidates"]] == _TRIALS
    assert formulas == {"name": "formulas", "planned": 4, "best": None, "candidates": []}


# === After a killed process ===


@pytest.mark.parametrize("cut", [1, 40, 300])
def test_a_half_written_last_line_is_dropped(path, cut):
    _filled(path)
    path.write_bytes(path.read_bytes()[:-cut])
    assert Study(path, writable=False).trials("joint") == _TRIALS[:-1]
    again = Study(path)
    assert again.trials("joint") == _TRIALS[:-1]
    again.add("joint", _TRIALS[-1])
    assert Study(path, writable=False).trials("joint") == _TRIALS


def test_a_last_line_that_is_not_json_is_dropped_by_the_next_writer(path):
    _filled(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + b"\0\0\0\n")
    again = Study(path)
    again.add("joint", _TRIALS[-1])
    assert Study(path, writable=False).trials("joint") == _TRIALS


@pytest.mark.parametrize(
    "broken",
    [
        b'{"op_code": 4, "wor',
        b"no JSON",
        b"{}",
        b"\xff\xfe\x00",
        b"null",
        b"[1, 2]",
        b'{"op_code": 99}',
    ],
)
@pytest.mark.parametrize("writable", [False, True])
def test_a_broken_line_in_the_middle_is_an_error_that_names_the_file(path, broken, writable):
    _filled(path)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = broken + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(UserError) as caught:
        Study(path, writable=writable)
    assert f"{path} is damaged" in str(caught.value)
    assert "line 4" in str(caught.value) or b"op_code" in broken
    assert "\n" not in str(caught.value)


def test_a_missing_study_cannot_be_read(path):
    with pytest.raises(UserError, match="study.journal is missing: no search has started there"):
        Study(path, writable=False)
    assert not path.exists()


def test_the_lock_of_a_killed_process_does_not_block_the_next(path):
    _filled(path)
    Path(f"{path}.lock").symlink_to(path)  # as Optuna's JournalFileSymlinkLock does
    started = time.monotonic()
    study = Study(path)
    study.add("joint", _trial(4))
    assert time.monotonic() - started < 5
    assert len(study.trials("joint")) == 5


_WRITER = """
import sys
from tests.search.test_study import _trial
from tf_efficientbert.search.study import Study
study = Study(sys.argv[1])
study.begin("joint")
print("begun", flush=True)
for index in range(len(study.trials("joint")), 1000000):
    study.add("joint", _trial(index, losses=(0.5,) * (index % 300)))
    print(index, flush=True)
"""


def test_no_added_trial_is_lost_after_kills_at_random_moments(path):
    delays = random.Random(8)
    told = -1
    for _ in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)],
            cwd=_REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout.readline() == "begun\n"
        time.sleep(delays.uniform(0.02, 0.3))
        writer.kill()
        lines = writer.communicate()[0].splitlines()
        assert writer.returncode == -signal.SIGKILL
        told = max([told, *(int(line) for line in lines if line)])
        trials = Study(path, writable=False).trials("joint")
        # The trial being written when the process was killed may or may not be there.
        assert told + 1 <= len(trials) <= told + 2
        assert trials == [_trial(i, losses=(0.5,) * (i % 300)) for i in range(len(trials))]
    assert told > 5
    assert math.isclose(best_of(trials).score, 0.3)
