import numpy as np
import pytest

from tests.models.small_models import random_inputs, small_task_model
from tests.models.small_text_models import TASKS, small_examples, small_supernet, small_text_model
from tf_efficientbert.distillation.task_teacher import TaskTeacherOptions, load_task_teacher
from tf_efficientbert.distillation.teacher_ensemble import TeacherEnsemble
from tf_efficientbert.distillation.teacher_pass import TeacherPass
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.text_model import TextModel


@pytest.fixture
def members():
    return [small_task_model(seed=seed) for seed in (1, 5, 9)]


@pytest.mark.parametrize("kind", ["classification", "regression", "span"])
def test_head_outputs_are_averaged_and_all_others_are_the_first_s(kind):
    members = [small_task_model(kind, seed=seed) for seed in (1, 5)]
    inputs = random_inputs()
    outputs = TeacherEnsemble(members, [0.25, 0.75])(inputs)
    first, second = (member(inputs) for member in members)
    names = ("start_logits", "end_logits") if kind == "span" else ("logits",)
    for name in names:
        expected = 0.25 * np.asarray(first[name]) + 0.75 * np.asarray(second[name])
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-6, atol=1e-6)
    for ours, theirs in zip(outputs["hidden_states"], first["hidden_states"], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_rebuilt_ensemble_answers_the_same(members):
    ensemble, inputs = TeacherEnsemble(members, [0.5, 0.3, 0.2]), random_inputs()
    again = ensemble.rebuilt(dtype="float32")
    np.testing.assert_array_equal(again(inputs)["logits"], ensemble(inputs)["logits"])
    assert len(again.weights) == len(ensemble.weights)
    rounded = ensemble.rebuilt(dtype="bfloat16")(inputs)["logits"]
    difference = np.abs(np.asarray(rounded, np.float32) - ensemble(inputs)["logits"]).max()
    assert 0 < difference < 0.2


def test_all_members_and_shares_are_in_the_fingerprint(members):
    weights = TeacherEnsemble(members, [0.5, 0.3, 0.2]).weights
    assert len(weights) == sum(len(member.weights) for member in members) + 1


def test_a_pass_caches_the_mean(members):
    ensemble = TextModel(
        TeacherEnsemble(members, [0.5, 0.3, 0.2]),
        small_text_model().tokenizer,
        TASKS["classification"],
        16,
    )
    examples = ensemble.encode(small_examples(ensemble.task))
    teacher_pass = TeacherPass(ensemble.model, ("logits", "hidden_states/1"))
    cached = teacher_pass.cached(examples, 2.0, True, 1.0)
    batch = cached.padded(np.arange(len(examples)))
    expected = ensemble.logits(examples)
    np.testing.assert_allclose(teacher_pass(batch)["logits"], expected, rtol=0, atol=1e-5)


def _load(folders, shares=""):
    options = TaskTeacherOptions(teacher=folders, teacher_shares=shares)
    start = small_supernet(fit_size=24)
    task = TASKS["classification"]
    return load_task_teacher(
        options.teacher, options.teacher_weights, task, 16, start, "--supernet=s"
    )


def test_several_folders_are_an_ensemble(tmp_path):
    models = [small_text_model(seed=seed) for seed in (1, 5)]
    for name, model in zip("ab", models, strict=True):
        model.save(tmp_path / name)
    examples = small_examples(models[0].task)
    loaded = _load(f"{tmp_path}/a,{tmp_path}/b", "3,1")
    logits = [model.logits(model.encode(examples)) for model in models]
    expected = 0.75 * logits[0] + 0.25 * logits[1]
    np.testing.assert_allclose(loaded.logits(loaded.encode(examples)), expected, atol=1e-5)
    small_text_model("multilabel").save(tmp_path / "b")
    with pytest.raises(UserError, match=f"--teacher={tmp_path}/b was trained for"):
        _load(f"{tmp_path}/a,{tmp_path}/b")


@pytest.mark.parametrize(
    ("teacher", "shares"),
    [("a", "1"), ("a,b", "1"), ("a,b", "1,0"), ("a,b", "1,x"), ("a,b", "1,-1")],
)
def test_shares_that_do_not_fit_the_teachers_are_refused(teacher, shares):
    with pytest.raises(UserError, match=f"--teacher_shares={shares}: expected a number above 0"):
        TaskTeacherOptions(teacher=teacher, teacher_shares=shares)
