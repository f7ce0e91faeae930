"""Losses between two stored models, compared with values from the authors' code."""

import json

import numpy as np
import pytest

from tests.models import golden
from tf_efficientbert.distillation.layer_map import layer_map
from tf_efficientbert.distillation.losses import attention_loss, hidden_loss
from tf_efficientbert.tasks.classification import prediction_loss
from tf_efficientbert.tasks.span import span_loss

_EXPECTED = json.loads((golden.GOLDEN / "distillation_losses.json").read_text())
_TEACHER = golden.read(_EXPECTED["teacher"])
_STUDENT = golden.read(_EXPECTED["student"])
_BY_TEMPERATURE = _EXPECTED["prediction_mean_over_every_element_by_temperature"]


def _both(prefix):
    return _TEACHER.sequence(prefix), _STUDENT.sequence(prefix)


def test_the_layer_map_equals_the_reference():
    expected = _EXPECTED["teacher_layer_of_student_layer"]
    assert list(layer_map(_TEACHER.meta["layers"], _STUDENT.meta["layers"])) == expected


def test_the_attention_loss_equals_the_reference():
    loss = attention_loss(*_both("attention_scores_"))
    assert float(loss) == pytest.approx(_EXPECTED["attention_mse_sum"], rel=1e-5)


def test_the_hidden_loss_equals_the_reference():
    loss = hidden_loss(*_both("hidden_"))
    assert float(loss) == pytest.approx(_EXPECTED["hidden_mse_sum_with_embeddings"], rel=1e-5)


@pytest.mark.parametrize("temperature", [1, 2, 4])
def test_the_prediction_loss_equals_the_reference(temperature):
    logits = _TEACHER.outputs["logits"], _STUDENT.outputs["logits"]
    loss = prediction_loss(*logits, temperature=temperature)
    assert float(loss) == pytest.approx(_BY_TEMPERATURE[str(temperature)], rel=1e-5)


def test_the_span_loss_equals_the_reference():
    stored = np.load(golden.GOLDEN / "squad_logits.npz")
    mask = stored["valid_mask"]
    # The stored logits already contain -10,000, except at [CLS].
    sides = [
        [stored[f"{side}_{end}"] + 10_000 * (1 - mask) for end in ("start", "end")]
        for side in ("teacher", "student")
    ]
    loss = span_loss(*sides, padding_mask=mask, mask_first=False)
    expected = _EXPECTED["prediction_squad_start_plus_end_mean_over_positions"]
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_losses_of_our_models_equal_the_reference():
    teacher = golden.task_model(_EXPECTED["teacher"])(_TEACHER.inputs)
    student = golden.task_model(_EXPECTED["student"])(_TEACHER.inputs)
    losses = [
        attention_loss(teacher["attention_scores"], student["attention_scores"]),
        hidden_loss(teacher["hidden_states"], student["hidden_states"]),
        prediction_loss(teacher["logits"], student["logits"]),
    ]
    names = ("attention_mse_sum", "hidden_mse_sum_with_embeddings")
    expected = [*(_EXPECTED[name] for name in names), _BY_TEMPERATURE["1"]]
    assert [float(loss) for loss in losses] == pytest.approx(expected, rel=1e-5)
