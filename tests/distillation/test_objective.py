import logging

import numpy as np
import pytest
import tensorflow as tf

from tests.models.small_models import (
    random_inputs,
    small_architecture,
    small_backbone,
    small_task_model,
)
from tests.models.small_text_models import TASKS
from tf_efficientbert.distillation.losses import attention_loss, hidden_loss
from tf_efficientbert.distillation.objective import Objective
from tf_efficientbert.distillation.recipes import Recipe
from tf_efficientbert.distillation.terms import attention_term, hidden_term
from tf_efficientbert.tasks import Span
from tf_efficientbert.tasks.classification import prediction_loss
from tf_efficientbert.tasks.span import span_loss

_LABELS = np.array([0.5, -1.0, 2.0], np.float32)
_TEACHER = small_architecture(hidden_size=20, num_heads=4, embedding="bert")


def _pair(kind):
    """A teacher of width 20 and a student without dropout that is fit-projected to it."""
    if kind == "backbone":
        teacher, student = small_backbone(_TEACHER, 1), small_backbone(fit_size=20)
    else:
        teacher, student = small_task_model(kind, _TEACHER, 1), small_task_model(kind, fit_size=20)
    return teacher, student.rebuilt(dropout=0.0)


@pytest.fixture(scope="module")
def pairs():
    return {kind: _pair(kind) for kind in ("backbone", "classification", "regression", "span")}


def _batch():
    return {**random_inputs(), "labels": _LABELS}


def _expected(pair, mask=None):
    """Returns (attention loss, hidden loss, teacher outputs, student outputs)."""
    teacher_outputs, student_outputs = (model(random_inputs()) for model in pair)
    scores = teacher_outputs["attention_scores"], student_outputs["attention_scores"]
    hidden = hidden_loss(teacher_outputs["hidden_states"], student_outputs["hidden_states"], mask)
    return float(attention_loss(*scores, mask)), float(hidden), teacher_outputs, student_outputs


def _objective(pair, task=None, **recipe):
    teacher, student = (getattr(model, "backbone", model).architecture for model in pair)
    return Recipe(**recipe).objective(teacher, student, task)


def _losses(pair, kind, batch, **recipe):
    """The losses of a recipe, on a task or, for bare encoders, on none."""
    task = None if kind == "backbone" else TASKS[kind]
    return _objective(pair, task, **recipe).losses(*pair, batch)


def _floats(losses):
    return {name: float(value) for name, value in losses.items()}


@pytest.mark.parametrize(
    "ratios",
    [{}, {"hidden_ratio": 3.0}, {"attention_ratio": 0.25}, {"prediction_ratio": 7.0}]
    + [{"hidden_ratio": 0.5, "attention_ratio": 3.0, "prediction_ratio": 0.1}],
    ids=str,
)
def test_the_loss_is_the_weighted_sum_of_its_terms(pairs, ratios):
    pair = pairs["classification"]
    losses = _floats(_losses(pair, "classification", _batch(), **ratios))
    attention, hidden, teacher_outputs, student_outputs = _expected(pair)
    prediction = float(prediction_loss(teacher_outputs["logits"], student_outputs["logits"]))
    terms = {"attention": attention, "hidden": hidden, "prediction": prediction}
    assert min(terms.values()) > 0.01
    weights = {"hidden_ratio": 1.0, "attention_ratio": 1.0, "prediction_ratio": 1.0, **ratios}
    loss = weights["hidden_ratio"] * (weights["attention_ratio"] * attention + hidden)
    loss += weights["prediction_ratio"] * prediction
    assert losses == pytest.approx({**terms, "loss": loss}, rel=1e-5)


@pytest.mark.parametrize(
    ("ratios", "terms"),
    [
        ({}, {"hidden", "attention", "prediction"}),
        ({"hidden_ratio": 0.0}, {"prediction"}),
        ({"attention_ratio": 0.0}, {"hidden", "prediction"}),
        ({"prediction_ratio": 0.0}, {"hidden", "attention"}),
    ],
    ids=lambda given: str(given) if isinstance(given, dict) else "",  # a set's order varies
)
def test_a_term_with_ratio_zero_is_left_out(pairs, ratios, terms):
    losses = _losses(pairs["classification"], "classification", _batch(), **ratios)
    assert losses.keys() == {"loss", *terms}


def test_bare_encoders_have_no_prediction_term(pairs):
    losses = _floats(_losses(pairs["backbone"], "backbone", random_inputs()))
    attention, hidden, _, _ = _expected(pairs["backbone"])
    expected = {"loss": attention + hidden, "attention": attention, "hidden": hidden}
    assert losses == pytest.approx(expected, rel=1e-5)


def test_without_equal_heads_there_is_no_attention_loss_and_a_warning(caplog):
    teacher = small_backbone(small_architecture(hidden_size=20, num_heads=5, embedding="bert"))
    student = small_backbone(fit_size=20)
    warning = "no attention loss: the teacher has 5 heads, the student 4"
    for ratio, warnings in ((0.0, []), (0.7, [warning])):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "tf_efficientbert"):
            recipe = {"attention_ratio": ratio}
            losses = _losses((teacher, student), "backbone", random_inputs(), **recipe)
        assert losses.keys() == {"loss", "hidden"}
        assert [record.getMessage() for record in caplog.records] == warnings


def test_terms_compare_the_mapped_layers(pairs):
    teacher, student = pairs["classification"]

    def losses(layers):
        objective = Objective((hidden_term(1.0, layers), attention_term(1.0, layers)))
        return _floats(objective.losses(teacher, student, _batch()))

    _, _, teacher_outputs, student_outputs = _expected((teacher, student))
    states, scores = teacher_outputs["hidden_states"], teacher_outputs["attention_scores"]
    states = [states[0], states[3], states[1], states[2]]
    hidden = float(hidden_loss(states, student_outputs["hidden_states"]))
    scores = [scores[2], scores[0], scores[1]]
    attention = float(attention_loss(scores, student_outputs["attention_scores"]))
    mapped = losses((2, 0, 1))
    assert (mapped["hidden"], mapped["attention"]) == pytest.approx((hidden, attention), rel=1e-5)
    default = _floats(_losses((teacher, student), "backbone", _batch()))
    assert losses((0, 1, 2)) == pytest.approx(default)
    assert abs(default["hidden"] - hidden) > 1e-3 and abs(default["attention"] - attention) > 1e-3


def test_student_layers_without_a_teacher_layer_are_not_compared(pairs):
    teacher, student = pairs["classification"]
    objective = Objective((hidden_term(1.0, (1, None, 2)),))
    assert objective.teacher_reads == ("hidden_states/0", "hidden_states/2", "hidden_states/3")
    _, _, theirs, ours = _expected((teacher, student))
    states = [theirs["hidden_states"][i] for i in (0, 2, 3)]
    expected = hidden_loss(states, [ours["hidden_states"][i] for i in (0, 1, 3)])
    loss = objective.losses(teacher, student, _batch())["loss"]
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)


def test_padding_can_be_left_out_of_the_hidden_and_attention_losses(pairs):
    pair = pairs["classification"]
    losses = _losses(pair, "backbone", _batch(), real_tokens_only=True)
    attention, hidden, _, _ = _expected(pair, random_inputs()["padding_mask"])
    assert float(losses["attention"]) == pytest.approx(attention, rel=1e-5)
    assert float(losses["hidden"]) == pytest.approx(hidden, rel=1e-5)
    padded = {**random_inputs(tokens=12), "labels": _LABELS}
    longer = _losses(pair, "backbone", padded, real_tokens_only=True)
    assert _floats(longer) == pytest.approx(_floats(losses), rel=1e-4)
    with_padding = (_floats(_losses(pair, "backbone", batch)) for batch in (padded, _batch()))
    assert abs(np.subtract(*(losses["hidden"] for losses in with_padding))) > 0.001


def test_a_regression_learns_from_labels_instead_of_the_teacher(pairs):
    teacher, student = pairs["regression"]
    losses = _losses((teacher, student), "regression", _batch())
    predictions = np.asarray(student(random_inputs())["logits"])
    expected = np.mean((_LABELS - predictions) ** 2)
    assert float(losses["prediction"]) == pytest.approx(expected, rel=1e-5)


def test_temperature_and_sum_over_classes_apply_to_the_prediction_loss(pairs):
    teacher_logits, student_logits = (
        np.asarray(m(random_inputs())["logits"], float) for m in pairs["classification"]
    )

    def softmax(logits):
        return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)

    expected = -np.mean(
        np.sum(softmax(teacher_logits / 2) * np.log(softmax(student_logits / 2)), -1)
    )
    changed = {"temperature": 2.0, "sum_over_classes": True}
    losses = _losses(pairs["classification"], "classification", _batch(), **changed)
    assert float(losses["prediction"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("unanswerable", [True, False])
def test_the_prediction_loss_of_a_span_task_is_the_span_loss(pairs, unanswerable):
    logits = [
        (outputs["start_logits"], outputs["end_logits"])
        for outputs in (model(random_inputs()) for model in pairs["span"])
    ]
    expected = float(span_loss(*logits, random_inputs()["padding_mask"], not unanswerable))
    task = Span("squad", may_be_unanswerable=unanswerable)
    losses = _objective(pairs["span"], task).losses(*pairs["span"], random_inputs())
    assert float(losses["prediction"]) == pytest.approx(expected, rel=1e-5)


def test_only_the_student_gets_gradients(pairs):
    teacher, student = pairs["classification"]
    with tf.GradientTape() as tape:
        loss = _losses((teacher, student), "classification", _batch())["loss"]
    sources = [
        [weight.value for weight in model.trainable_variables] for model in (teacher, student)
    ]
    of_teacher, of_student = tape.gradient(loss, sources)
    assert of_teacher and all(gradient is None for gradient in of_teacher)
    assert all(np.abs(tf.convert_to_tensor(gradient)).max() > 0 for gradient in of_student)


def test_only_the_student_uses_dropout():
    teacher, student = small_task_model(architecture=_TEACHER), small_task_model(fit_size=20)
    assert teacher.backbone.dropout == student.backbone.dropout == 0.1

    def loss(model, seed):
        objective = _objective((teacher, model))
        return float(objective.losses(teacher, model, _batch(), tf.constant([seed, 0]))["loss"])

    assert loss(student, 1) == loss(student, 1) != loss(student, 2)
    still = student.rebuilt(dropout=0.0)
    assert loss(still, 1) == loss(still, 2)
