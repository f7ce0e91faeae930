"""Jobs that are killed with SIGKILL and resumed give the results of uninterrupted ones."""

import dataclasses
import json

import numpy as np
import pytest

from tests.integration.toy import finish_job, kill_job_after, pipeline_options
from tests.models.small_text_models import small_text_model
from tf_efficientbert.distillation.distiller import distill
from tf_efficientbert.distillation.warm_up import warm_up
from tf_efficientbert.export.litert import export_litert
from tf_efficientbert.models.text_model import load
from tf_efficientbert.training.fine_tune import fine_tune

_OFTEN = {"checkpoint_seconds": 0.001}
_WARM_UP, _TASK = "checkpoints/warm_up_supernet", "checkpoints/distil_on_task"
_WARM_UP_STEPS, _TASK_STEPS = 20, 12
_UNLABELLED = {"unlabelled_file": "snippets", "unlabelled_share": 0.5}  # twice as many steps


def _weights(folder):
    return load(folder / "model").model.weights


def _assert_same_training(folder, other):
    """Asserts equal losses in every step and bitwise equal weights."""
    history, expected = (json.loads((f / "history.json").read_text()) for f in (folder, other))
    assert history == expected
    for one, two in zip(_weights(folder), _weights(other), strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())


def _without_times(report):
    models = [
        {
            **model,
            "litert": {name: litert["bytes"] for name, litert in model["litert"].items()},
        }
        for model in report["models"]
    ]
    stages = [
        {
            **stage,
            "candidates": [{**c, "seconds": 0} for c in stage["candidates"]],
            "training_seconds": 0,
        }
        for stage in report["search"]["stages"]
    ]
    search = {"stages": stages}
    return {**report, "models": models, "search": search, "seconds": sorted(report["seconds"])}


@pytest.fixture(scope="module")
def trained(bert, tmp_path_factory):
    """The folder of a teacher, a supernet and a student, trained without interruption."""
    folder = tmp_path_factory.mktemp("trained")
    options = pipeline_options(bert, folder)
    options.write_own_text()
    fine_tune(options.teacher())
    warm_up(options.warm_up())
    distill(dataclasses.replace(options.student("published"), **_UNLABELLED))
    return folder


@pytest.mark.slow
def test_a_killed_warm_up_ends_with_the_same_supernet(bert, trained, tmp_path):
    options = dataclasses.replace(
        pipeline_options(bert, trained, **_OFTEN).warm_up(), output_dir=str(tmp_path)
    )
    job = "trainers.pretrain_supernet"
    kill_job_after(tmp_path / _WARM_UP, 7, job, options)
    assert not (tmp_path / "model").exists()
    done = finish_job(job, options)
    assert f"resumes after step 7 of {_WARM_UP_STEPS}" in done.stderr
    _assert_same_training(tmp_path, trained / "supernet")


@pytest.mark.slow
def test_a_killed_distillation_ends_with_the_same_student(bert, trained, tmp_path):
    options = dataclasses.replace(
        pipeline_options(bert, trained, **_OFTEN).student("published"),
        output_dir=str(tmp_path),
        teacher_cache="",  # a resumed process computes the teacher outputs again
        **_UNLABELLED,
    )
    kill_job_after(tmp_path / _TASK, 5, "trainers.distill", options)
    kept = tmp_path / "outputs"
    with_cache = dataclasses.replace(options, teacher_cache=str(kept))
    kill_job_after(tmp_path / _TASK, 9, "trainers.distill", with_cache)
    (entry,) = kept.glob("*/manifest.json")
    done = finish_job("trainers.distill", with_cache)
    assert entry.exists()
    assert f"resumes after step 9 of {2 * _TASK_STEPS}" in done.stderr
    _assert_same_training(tmp_path, trained / "published")


@pytest.mark.slow
def test_students_learn_the_same_alone_and_side_by_side(bert, finished_run, tmp_path):
    folder, _, _ = finished_run
    alone = dataclasses.replace(
        pipeline_options(bert, folder).student("published"),
        output_dir=str(tmp_path),
        teacher_cache="",
    )
    distill(alone)
    _assert_same_training(tmp_path, folder / "published")


@pytest.mark.slow
def test_exported_files_do_not_depend_on_earlier_exports_of_the_process(tmp_path):
    for name in ("one", "other"):
        small_text_model(seed=4).save(tmp_path / name)
        model = load(tmp_path / name)
        export_litert(model, tmp_path / name / "litert", model.max_tokens)
    for file in ("model_float32.tflite", "model_int8.tflite"):
        one, other = ((tmp_path / name / "litert" / file).read_bytes() for name in ("one", "other"))
        assert one == other


@pytest.mark.slow
def test_a_pipeline_killed_twice_ends_with_the_same_report(bert, finished_run, tmp_path):
    folder, job = tmp_path / "run", "trainers.run_pipeline"
    options = pipeline_options(bert, folder, **_OFTEN)
    kill_job_after(folder / "supernet" / _WARM_UP, 7, job, options)
    kill_job_after(folder / "published" / _TASK, 5, job, options)  # beside the other students
    printed = finish_job(job, options).stdout.splitlines()
    assert "[3/8] search: already finished" in printed and "[4/8] students" in printed
    other, report, _ = finished_run
    resumed = json.loads((folder / "report.json").read_text("utf-8"))
    assert _without_times(resumed) == _without_times(report)
    for name in ("teacher", "supernet", "plain", "published", "searched"):
        _assert_same_training(folder / name, other / name)
