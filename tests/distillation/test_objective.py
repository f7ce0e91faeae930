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
    losses = _floats(Objective(task=TASKS["classification"], **ratios).losses(*pair, _batch()))
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
    losses = Objective(task=TASKS["classification"], **ratios).losses(
        *pairs["classification"], _batch()
    )
    assert losses.keys() == {"loss", *terms}


def test_bare_encoders_have_no_prediction_term(pairs):
    losses = _floats(Objective().losses(*pairs["backbone"], random_inputs()))
    attention, hidden, _, _ = _expected(pairs["backbone"])
    expected = {"loss": attention + hidden, "attention": attention, "hidden": hidden}
    assert losses == pytest.approx(expected, rel=1e-5)


def test_without_attention_loss_the_numbers_of_heads_may_differ():
    teacher = small_backbone(small_architecture(hidden_size=20, num_heads=5, embedding="bert"))
    student = small_backbone(fit_size=20)
    losses = Objective(attention_ratio=0.0).losses(teacher, student, random_inputs())
    assert losses.keys() == {"loss", "hidden"}
    with pytest.raises(ValueError, match="equal heads: teacher 5, student 4"):
        Objective().losses(teacher, student, random_inputs())


def test_layers_choose_the_teacher_s_layers(pairs):
    teacher, student = pairs["classification"]
    losses = _floats(Objective(layers=(2, 0, 1)).losses(teacher, student, _batch()))
    _, _, teacher_outputs, student_outputs = _expected((teacher, student))
    states, scores = teacher_outputs["hidden_states"], teacher_outputs["attention_scores"]
    states = [states[0], states[3], states[1], states[2]]
    hidden = float(hidden_loss(states, student_outputs["hidden_states"]))
    scores = [scores[2], scores[0], scores[1]]
    attention = float(attention_loss(scores, student_outputs["attention_scores"]))
    assert (losses["hidden"], losses["attention"]) == pytest.approx((hidden, attention), rel=1e-5)
    same = _floats(Objective(layers=(0, 1, 2)).losses(teacher, student, _batch()))
    assert same == pytest.approx(_floats(Objective().losses(teacher, student, _batch())))
    assert abs(same["hidden"] - hidden) > 1e-3 and abs(same["attention"] - attention) > 1e-3


def test_padding_can_be_left_out_of_the_hidden_and_attention_losses(pairs):
    pair = pairs["classification"]
    losses = Objective(real_tokens_only=True).losses(*pair, _batch())
    attention, hidden, _, _ = _expected(pair, random_inputs()["padding_mask"])
    assert float(losses["attention"]) == pytest.approx(attention, rel=1e-5)
    assert float(losses["hidden"]) == pytest.approx(hidden, rel=1e-5)
    padded = {**random_inputs(tokens=12), "labels": _LABELS}
    longer = Objective(real_tokens_only=True).losses(*pair, padded)
    assert _floats(longer) == pytest.approx(_floats(losses), rel=1e-4)
    with_padding = (_floats(Objective().losses(*pair, batch)) for batch in (padded, _batch()))
    assert abs(np.subtract(*(losses["hidden"] for losses in with_padding))) > 0.001


def test_a_regression_learns_from_labels_instead_of_the_teacher(pairs):
    teacher, student = pairs["regression"]
    losses = Objective(task=TASKS["regression"]).losses(teacher, student, _batch())
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
    objective = Objective(temperature=2.0, sum_over_classes=True, task=TASKS["classification"])
    losses = objective.losses(*pairs["classification"], _batch())
    assert float(losses["prediction"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("unanswerable", [True, False])
def test_the_prediction_loss_of_a_span_task_is_the_span_loss(pairs, unanswerable):
    logits = [
        (outputs["start_logits"], outputs["end_logits"])
        for outputs in (model(random_inputs()) for model in pairs["span"])
    ]
    expected = float(span_loss(*logits, random_inputs()["padding_mask"], not unanswerable))
    task = Span("squad", may_be_unanswerable=unanswerable)
    losses = Objective(task=task).losses(*pairs["span"], random_inputs())
    assert float(losses["prediction"]) == pytest.approx(expected, rel=1e-5)


def test_only_the_student_gets_gradients(pairs):
    teacher, student = pairs["classification"]
    with tf.GradientTape() as tape:
        loss = Objective(task=TASKS["classification"]).losses(teacher, student, _batch())["loss"]
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
        objective = Objective(hidden_ratio=1.0)
        return float(objective.losses(teacher, model, _batch(), tf.constant([seed, 0]))["loss"])

    assert loss(student, 1) == loss(student, 1) != loss(student, 2)
    still = student.rebuilt(dropout=0.0)
    assert loss(still, 1) == loss(still, 2)
