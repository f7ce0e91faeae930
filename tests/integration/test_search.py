"""The search job on random networks of one layer, interrupted or not, whole or by stages."""

import dataclasses
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import default_task
from tests.integration.toy import (
    SENTENCES,
    as_flags,
    error_line,
    finish_job,
    kill_job_after,
    run_job,
)
from tests.models.small_text_models import write_examples
from tests.search.killed_process import simulate_out_of_memory_kills
from tf_efficientbert.architecture import Architecture
from tf_efficientbert.distillation.warm_up import WarmUpOptions, warm_up
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.text_model import load
from tf_efficientbert.search import stage_sequence
from tf_efficientbert.search.budget import Budget
from tf_efficientbert.search.options import SearchOptions
from tf_efficientbert.search.search import search
from tf_efficientbert.search.study import COMPLETE, STUDY, Study, best_of
from tf_efficientbert.training.fine_tune import FineTuneOptions, fine_tune

_JOB = "trainers.search"
_REPOSITORY = Path(__file__).resolve().parents[2]
_CANDIDATES = {"joint": 3, "formulas": 2, "sizes": 6}
_HELD_OUT = 12  # a quarter of the sentences
_TEXT_STEPS, _TASK_STEPS, _SHARED_STEPS = 2, 6, 10

_TRAINING = {
    "text_share": 0.25,
    "text_epochs": 1,
    "text_learning_rate": 5e-4,
    "task_share": 0.5,
    "task_epochs": 2,
    "task_learning_rate": 1e-3,
    "batch_size": 8,
}
_STAGE = {
    "random_candidates": 2,
    "refit_every": 1,
    "exploration": 1.0,
    "tuning_rounds": 0,
    "max_draws": 100,
    "held_out": _HELD_OUT / SENTENCES,
}


def _stages():
    shared = {**_TRAINING, "text_share": 0.5, "task_share": 1}
    return [
        {
            "name": name,
            "candidates": count,
            **_STAGE,
            "training": shared if name == "sizes" else _TRAINING,
        }
        for name, count in _CANDIDATES.items()
    ]


@pytest.fixture(scope="module")
def options(bert, tmp_path_factory):
    """options(output_dir, **changes): options of a search with a teacher and a supernet."""
    folder = tmp_path_factory.mktemp("search")
    train = write_examples(
        folder / "train.tsv",
        default_task.default_task(),
        default_task.load("train").first(SENTENCES),
    )
    task = {"task": "custom", "labels": "negative,positive", "max_tokens": 64}
    fine_tune(
        FineTuneOptions(
            **task,
            train_file=train,
            dev_file=train,
            output_dir=str(folder / "teacher"),
            teacher_dir=str(bert),
            epochs=1.0,
            batch_size=16,
        )
    )
    corpus = {"corpus_sentences": 64, "corpus_max_tokens": 32, "teacher_dir": str(bert)}
    sizes = {"hidden_size": 48, "num_layers": 1, "num_heads": 12, "embedding_size": 32}
    warm_up(
        WarmUpOptions(
            **corpus,
            **sizes,
            output_dir=str(folder / "supernet"),
            epochs=1.0,
            learning_rate=1e-3,
            batch_size=16,
        )
    )
    # A search must not read these.
    for name in ("dev.tsv", "test.tsv"):
        (folder / name).write_bytes(b"text\tlabel\nof no use\tnegative\nthis neither\tpositive\n")
    ordinary = Architecture.from_formulas(
        ["linear1_1(gelu(linear1_1(x,wb1)),wb2)"],
        hidden_size=48,
        ffn_width=48,
        num_heads=12,
        embedding_size=32,
    )
    backbone = load(folder / "supernet" / "model").backbone
    exact = ordinary.count_parameters(48, backbone.vocabulary_size, backbone.max_positions)
    first, *others = _stages()
    stages = [{**first, "min_parameters": exact}, *others]
    (folder / "stages.json").write_text(json.dumps(stages), "utf-8")
    values = {
        **task,
        **corpus,
        "train_file": train,
        "dev_file": str(folder / "dev.tsv"),
        "split": "90/10/0",
        "test_file": str(folder / "test.tsv"),
        "teacher": str(folder / "teacher" / "model"),
        "supernet": str(folder / "supernet" / "model"),
        "stages": str(folder / "stages.json"),
        "min_parameters": exact - 4000,
        "max_parameters": exact + 4000,
        "group_size": 2,
        "checkpoint_seconds": 0.001,
    }
    return lambda output_dir, **changes: SearchOptions(
        **{**values, "output_dir": str(output_dir), **changes}
    )


@pytest.fixture(scope="module")
def finished(options, tmp_path_factory):
    """(folder, result, seconds) of an uninterrupted search of all stages."""
    folder = tmp_path_factory.mktemp("finished") / "search"
    started = time.monotonic()
    result = search(options(folder))
    return folder, result, time.monotonic() - started


def _study(folder):
    return Study(folder / STUDY, writable=False)


def _without_times(folder):
    """Returns the notes and candidates of every stage without times."""
    return [
        {
            **stage,
            "training_seconds": None,
            "candidates": [{**each, "seconds": None} for each in stage["candidates"]],
        }
        for stage in _study(folder).described()
    ]


def _assert_same_search(folder, finished):
    expected, result, _ = finished
    assert _without_times(folder) == _without_times(expected)
    found = (folder / "architecture.json").read_bytes()
    assert found == (expected / "architecture.json").read_bytes()
    again = json.loads((folder / "result.json").read_text("utf-8"))
    assert {**again, "seconds": None} == {**json.loads(json.dumps(result)), "seconds": None}


def test_every_stage_starts_from_the_best_of_the_stage_before(finished):
    study = _study(finished[0])
    assert study.stages == list(_CANDIDATES)
    trials = {name: study.trials(name) for name in study.stages}
    assert {name: len(each) for name, each in trials.items()} == _CANDIDATES
    assert all(trial.state == COMPLETE for each in trials.values() for trial in each)
    joint, formulas, sizes = (best_of(each).architecture for each in trials.values())
    # Stage 2 reuses the score of stage 1's best. Stage 3 starts with stage 2's best.
    assert trials["formulas"][0].architecture == joint and trials["formulas"][0].reused
    assert trials["sizes"][0].architecture == formulas and not trials["sizes"][0].reused
    for trial in trials["formulas"]:
        for cell, fixed in zip(trial.architecture.cells, joint.cells, strict=True):
            assert (cell.stack, cell.ratio) == (fixed.stack, fixed.ratio)
    for trial in trials["sizes"]:
        for cell, fixed in zip(trial.architecture.cells, sizes.cells, strict=True):
            assert cell.formula == fixed.formula


def test_the_result_is_the_best_of_the_last_stage_and_within_the_budget(options, finished):
    folder, result, _ = finished
    best = best_of(_study(folder).trials("sizes"))
    text = (folder / "architecture.json").read_text("utf-8")
    assert Architecture.from_json(text) == best.architecture
    assert json.loads(text) == result["architecture"]
    assert (result["parameters"], result["score"]) == (best.parameters, best.score)
    assert (result["metric"], result["candidates"]) == ("accuracy", _CANDIDATES)
    limits = options(folder)
    supernet = load(limits.supernet).backbone
    sizes = 48, supernet.vocabulary_size, supernet.max_positions
    budget = Budget(limits.min_parameters, limits.max_parameters, *sizes)
    trials = [trial for name in _CANDIDATES for trial in _study(folder).trials(name)]
    assert all(budget.holds(trial.architecture) for trial in trials)
    assert all(budget.parameters(each.architecture) == each.parameters for each in trials)
    least = min(trial.parameters for trial in _study(folder).trials("joint"))
    assert least >= limits.min_parameters + 4000  # the stage's own bound


def test_scores_come_from_held_out_training_examples(finished):
    for stage in _study(finished[0]).described():
        assert stage["validation_examples"] == _HELD_OUT
        for candidate in stage["candidates"]:
            right = candidate["score"] * _HELD_OUT
            assert right == pytest.approx(round(right), abs=1e-6)


def test_trained_candidates_have_losses_and_slices_have_none(finished):
    joint, formulas, sizes = _study(finished[0]).described()
    for candidate in (*joint["candidates"], *formulas["candidates"][1:]):
        assert len(candidate["losses"]) == _TEXT_STEPS + _TASK_STEPS
    assert all(candidate["losses"] == [] for candidate in sizes["candidates"])


def test_the_action_space_is_fitted_as_the_stage_sets(finished):
    fitted = [[fit["candidates"] for fit in s["fits"]] for s in _study(finished[0]).described()]
    assert fitted == [[2], [], [2, 4]]


def test_the_shared_supernet_is_saved_and_checkpoints_are_deleted(finished):
    folder, _, _ = finished
    shared = load(folder / "shared_supernet")
    best = best_of(_study(folder).trials("formulas")).architecture
    cells = shared.backbone.architecture.cells
    assert [cell.formula for cell in cells] == [cell.formula for cell in best.cells]
    assert {cell.stack for cell in cells} == {4}
    assert shared.task is not None
    assert not (folder / "checkpoints").exists()


def test_a_finished_search_returns_its_result_again(options, finished):
    folder, result, _ = finished
    again = search(options(folder))
    assert again == json.loads(json.dumps(result))


def test_an_emptied_study_is_an_error(options, finished, tmp_path):
    folder = tmp_path / "search"
    shutil.copytree(finished[0], folder)
    (folder / "result.json").unlink()
    (folder / STUDY).write_bytes(b"")
    with pytest.raises(UserError, match=f"{STUDY} is empty, but a search has run here"):
        search(options(folder))
    assert (folder / "clock.json").exists()


@pytest.fixture
def of_2026_11(tmp_path):
    """A folder with the study of this search as it was before examples were held out by text."""
    folder = tmp_path / "search"
    folder.mkdir()
    shutil.copy(_REPOSITORY / "tests" / "fixtures" / "study_2026_11.journal", folder / STUDY)
    return folder


def test_a_finished_study_of_an_earlier_version_still_gives_its_result(options, of_2026_11):
    before = _study(of_2026_11).described()
    result = search(options(of_2026_11))
    assert _study(of_2026_11).described() == before
    assert result["candidates"] == _CANDIDATES
    best = best_of(_study(of_2026_11).trials("sizes"))
    assert json.loads(best.architecture.to_json()) == result["architecture"]


@pytest.mark.parametrize("scored", [0, 2])
def test_an_unfinished_stage_of_an_earlier_version_does_not_go_on(options, of_2026_11, scored):
    journal = of_2026_11 / STUDY
    lines = journal.read_bytes().splitlines(keepends=True)
    trials = [number for number, line in enumerate(lines) if b'"op_code":4' in line]
    journal.write_bytes(b"".join(lines[: trials[scored]]))
    with pytest.raises(UserError, match=f"{STUDY}: an earlier version began stage joint with"):
        search(options(of_2026_11))


def test_scores_of_an_earlier_version_are_not_reused(options, of_2026_11):
    """Stage 2 starts with stage 1's best, whose score was taken on other examples."""
    journal = of_2026_11 / STUDY
    lines = journal.read_bytes().splitlines(keepends=True)
    begun = next(i for i, line in enumerate(lines) if b'"study_name":"formulas"' in line)
    journal.write_bytes(b"".join(lines[:begun]))
    search(options(of_2026_11, to_stage=2))
    first, *_ = _study(of_2026_11).trials("formulas")
    assert first.architecture == best_of(_study(of_2026_11).trials("joint")).architecture
    assert not first.reused


@pytest.mark.slow
def test_a_search_killed_in_stages_1_and_3_and_run_by_stages_ends_the_same(
    options, finished, tmp_path
):
    folder = tmp_path / "search"
    first = options(folder, to_stage=1)
    group = folder / "checkpoints" / "joint" / "candidates-2" / "task"
    kill_job_after(group, 1, _JOB, first)
    assert len(_study(folder).trials("joint")) == 2  # the first group's
    assert search(first)["candidates"] == {"joint": 3}
    assert not (folder / "architecture.json").exists()

    later = options(folder, from_stage=2)
    shared = folder / "checkpoints" / "sizes" / "task"
    kill_job_after(shared, 2, _JOB, later)
    assert _study(folder).trials("sizes") == []
    printed = finish_job(_JOB, later)
    assert f"resumes after step 2 of {_SHARED_STEPS}" in printed.stderr
    _assert_same_search(folder, finished)
    for line in ("metric: accuracy", "score: ", "layer 1: "):
        assert line in printed.stdout


@pytest.mark.slow
def test_a_search_killed_ten_times_at_random_moments_ends_the_same(options, finished, tmp_path):
    folder, delays, killed_at = tmp_path / "search", random.Random(6), []
    whole = options(folder)
    for number in range(10):
        before, starting = _saved(folder), number % 3 == 1
        process = subprocess.Popen(**_command(whole))
        while not starting and _saved(folder) == before and process.poll() is None:
            time.sleep(0.02)  # it is still starting
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(delays.uniform(0, 8 if starting else 0.08 * finished[2]))
        process.kill()
        process.wait()
        killed_at.append(_saved(folder))
    assert len(set(killed_at)) >= 5
    finish_job(_JOB, whole)
    _assert_same_search(folder, finished)


def _saved(folder):
    """Returns the progress of a search on disk: journal lines and checkpoints."""
    journal = folder / STUDY
    lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
    checkpoints = [
        os.path.join(place, name)
        for place, names, _ in os.walk(folder)  # ignores folders that are renamed meanwhile
        for name in names
        if name.startswith("step-")
    ]
    return lines, *sorted(checkpoints)


def _command(whole):
    nothing = subprocess.DEVNULL
    flags = [sys.executable, "-m", _JOB, *as_flags(whole)]
    return {"args": flags, "cwd": _REPOSITORY, "stdout": nothing, "stderr": nothing}


# === Random sampler ===


@pytest.mark.slow
def test_a_random_search_of_one_stage_fits_nothing(options, tmp_path):
    stages = _stages()
    stages[0] |= {"candidates": 2, "random_candidates": 2}
    stages[0]["training"] = {**_TRAINING, "text_share": 0, "task_epochs": 1}
    (tmp_path / "stages.json").write_text(json.dumps(stages), "utf-8")
    changes = {"stages": str(tmp_path / "stages.json"), "sampler": "random"}
    first = options(tmp_path / "search", to_stage=1, **changes)
    assert search(first)["candidates"] == {"joint": 2}
    (stage,) = _study(tmp_path / "search").described()
    assert stage["sampler"] == "random"
    assert not stage.get("fits")
    later = dataclasses.replace(first, from_stage=2, to_stage=2)
    with pytest.raises(UserError, match="--from_stage=3: stage 2 has 0 of 2 candidates"):
        search(dataclasses.replace(later, from_stage=3, to_stage=3))
    # Stage 1 counts as ended even if it was killed before it noted its end.
    journal = tmp_path / "search" / STUDY
    lines = journal.read_bytes().splitlines(keepends=True)
    assert b'"ended"' in lines[-1]
    journal.write_bytes(b"".join(lines[:-1]))
    assert search(later)["candidates"] == {"joint": 2, "formulas": 2}


# === Errors ===


def test_a_later_stage_cannot_run_before_the_earlier_ones(options, tmp_path):
    with pytest.raises(UserError) as caught:
        search(options(tmp_path, from_stage=2))
    message = str(caught.value)
    assert "--from_stage=2: no stage has been run in" in message
    assert str(tmp_path) in message


def test_a_search_warns_after_an_out_of_memory_kill(options, tmp_path, caplog):
    simulate_out_of_memory_kills(tmp_path / "running.json")
    with pytest.raises(UserError, match="no stage has been run"):
        search(options(tmp_path, from_stage=2))
    assert "out-of-memory killer was active while this search last ran" in caplog.text
    assert not (tmp_path / "running.json").exists()  # the process ended normally


def test_after_a_failed_start_other_flags_are_accepted(options, tmp_path):
    with pytest.raises(UserError, match="no stage has been run"):
        search(options(tmp_path, from_stage=2))
    with pytest.raises(UserError, match="no stage has been run"):
        search(options(tmp_path, from_stage=2, group_size=3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group_size": 3}, "group_size was 2 and is now 3"),
        ({"seed": 1}, "seed was 0 and is now 1"),
        ({"stages": "quick"}, "stages was .*stages.json' and is now 'quick'"),
        ({"sampler": "random"}, "sampler was 'action-space' and is now 'random'"),
        ({"max_parameters": 10**9}, "max_parameters was [0-9]+ and is now 1000000000"),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_other_flags_are_rejected(options, finished, changes, message):
    with pytest.raises(UserError, match=f"belongs to a run with other flags or files: {message}"):
        search(options(finished[0], **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": ""}, "set either --teacher"),
        ({"supernet": ""}, "--supernet is missing"),
        ({"sampler": "best"}, "--sampler=best: expected one of action-space, evolution, random"),
        ({"group_size": 0}, "--group_size=0: expected 1 or more"),
        ({"from_stage": 0}, "--from_stage=0, --to_stage=3: expected stages from 1 to 3"),
        ({"from_stage": 3, "to_stage": 2}, "--from_stage=3, --to_stage=2"),
        ({"to_stage": 4}, "--to_stage=4"),
        ({"min_parameters": -1}, "--min_parameters=-1: expected 0 or more"),
        ({"attention_ratio": float("nan")}, "--attention_ratio=nan"),
        ({"stages": "slow"}, "--stages=slow: expected paper, quick or a .json file"),
        ({"seed": -1}, "--seed=-1"),
        ({"dropout": 1.0}, "--dropout=1.0"),
        ({"checkpoint_seconds": 0.0}, "--checkpoint_seconds=0.0"),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_an_invalid_flag_is_an_error_before_files_are_read(options, changes, message):
    with pytest.raises(UserError) as caught:
        options("/nowhere", **changes)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_parameters": 9 * 10**6}, "--min_parameters=9,000,000 is above the maximum"),
        (
            {"max_parameters": 0, "min_parameters": 0},
            "--max_parameters=0 uses the size of the plain",
        ),
        ({"labels": "positive,negative"}, "was trained for custom"),
        ({"corpus_max_tokens": 500}, "--corpus_max_tokens=500: the supernet has only"),
        ({"train_file": "nowhere.tsv"}, "nowhere.tsv"),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_inconsistent_flags_are_an_error_and_leave_no_files(options, tmp_path, changes, message):
    with pytest.raises(UserError) as caught:
        search(options(tmp_path / "search", **changes))
    assert message in str(caught.value)
    assert {path.name for path in (tmp_path / "search").iterdir()} <= {".lock"}


def test_an_impossible_budget_is_an_error(options, tmp_path):
    with pytest.raises(UserError, match="1000 random candidates"):
        search(options(tmp_path, min_parameters=1, max_parameters=2, stages="quick"))


def test_impossible_bounds_of_a_stage_are_an_error(options, tmp_path):
    *others, last = _stages()
    path = tmp_path / "stages.json"
    path.write_text(json.dumps([*others, {**last, "min_parameters": 10**9}]), "utf-8")
    message = "stages.json: stage sizes searches from 1,000,000,000 to"
    with pytest.raises(UserError, match=message):
        search(options(tmp_path / "search", stages=str(path)))


def test_a_job_prints_an_error_in_one_line(options, tmp_path):
    flags = [flag for flag in as_flags(options(tmp_path)) if "--sampler=" not in flag]
    line = error_line(run_job(_JOB, [*flags, "--sampler=best"]))
    assert line == "--sampler=best: expected one of action-space, evolution, random"


# === A process killed at the start of a stage ===


class _Reached(Exception):
    pass


def test_a_stage_killed_at_its_start_has_all_notes_after_resuming(options, tmp_path, monkeypatch):
    notes = []

    class _Stops:
        def __init__(self, study, stage, **others):
            notes.append(study.notes(stage.name))
            raise _Reached

    monkeypatch.setattr(stage_sequence, "StageSearch", _Stops)
    with pytest.raises(_Reached):
        search(options(tmp_path))
    journal = tmp_path / STUDY
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:2]))
    with pytest.raises(_Reached):
        search(options(tmp_path))
    assert notes[1] == notes[0]
