import pytest

from tf_efficientbert.errors import UserError
from tf_efficientbert.export.agreement import Limits, require_agreement


def _forms(form, difference=0.0, accuracy=0.9):
    keras = {"max_difference": 0.0, "accuracy": 0.9}
    return {"keras": keras, form: {"max_difference": difference, "accuracy": accuracy}}


def _require(forms, float_difference=1e-3, float16_difference=1e-2, int8_loss=1.0):
    limits = Limits(float_difference, float16_difference, int8_loss)
    require_agreement(forms, "accuracy", limits)


@pytest.mark.parametrize(
    "forms",
    [
        _forms("saved_model_text", difference=0.99e-3),
        _forms("litert_float16", difference=0.99e-2),
        _forms("litert_int8", difference=0.5, accuracy=0.8905),
        _forms("litert_int8", difference=0.5, accuracy=0.95),
        _forms("litert_int4", difference=0.5, accuracy=0.5),  # reported, but without a limit
    ],
)
def test_forms_within_the_limits_pass(forms):
    _require(forms)


@pytest.mark.parametrize("form", ["saved_model_classify", "litert_float32"])
def test_float_forms_have_a_limit(form):
    with pytest.raises(UserError, match=rf"{form} differs from Keras by 0\.002, more than --max_f"):
        _require(_forms(form, difference=2e-3))
    _require(_forms(form, difference=2e-3), float_difference=0.01)


@pytest.mark.parametrize("form", ["litert_float16", "mediapipe_classifier_float16"])
def test_float16_forms_have_a_higher_limit(form):
    message = rf"{form} differs from Keras by 0\.02, more than --max_float16_difference=0\.01"
    with pytest.raises(UserError, match=message):
        _require(_forms(form, difference=2e-2))
    _require(_forms(form, difference=2e-2), float16_difference=0.03)


@pytest.mark.parametrize("form", ["litert_int8", "litert_int8_static"])
def test_int8_forms_have_a_limit_in_points(form):
    with pytest.raises(UserError, match=rf"{form} loses 2\.00 points of accuracy, more than --max"):
        _require(_forms(form, accuracy=0.88))
    _require(_forms(form, accuracy=0.88), int8_loss=2.5)


def test_every_form_over_its_limit_is_named():
    faults = _forms("litert_float32", 1.0) | _forms("litert_int8", accuracy=0.1)
    faults["litert_int4"] = {"not_finite": 3}
    message = "litert_float32 differs .*; litert_int8 loses 80.*; litert_int4 gives NaN.* 3 texts"
    with pytest.raises(UserError, match=message):
        _require(faults)
