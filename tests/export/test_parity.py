import numpy as np
import pytest

from tests.export.exported import MAKERS
from tests.models.small_text_models import small_examples
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.litert import LiteRtModel
from tf_efficientbert.export.parity import Form, parity, saved_model_forms
from tf_efficientbert.metrics import glue

_SERVED = ["saved_model_text", "saved_model_tokens", "saved_model_examples"]


@pytest.fixture(scope="module")
def compared(models, versions, litert_files):
    """`parity` of the classification model, with a file of another model added."""
    model = models["classification"]
    paths = {**litert_files["classification"], "other": litert_files["pair"]["float32"]}
    examples = small_examples(model.task, count=40)
    return model, paths, examples, _parity(model, versions["classification"], paths, examples)


def _parity(model, version, paths, examples):
    encoded = model.encode(examples)
    files = {
        f"litert_{name}": Form(lambda path=path: LiteRtModel(path).logits(encoded))
        for name, path in paths.items()
    }
    forms = saved_model_forms(version, model.task, examples, encoded) | files
    return parity(model, forms, examples, encoded)


def test_every_form_is_compared(compared):
    *_, figures = compared
    litert = ["litert_float32", "litert_float16", "litert_int8", "litert_other"]
    assert list(figures) == ["keras", *_SERVED, "saved_model_classify", *litert]


def test_keras_agrees_with_itself(compared):
    *_, figures = compared
    assert figures["keras"]["max_difference"] == figures["keras"]["mean_difference"] == 0.0
    assert figures["keras"]["agreement"] == 1.0


def test_exact_forms_agree_with_keras(compared):
    *_, figures = compared
    for form in (*_SERVED, "saved_model_classify", "litert_float32"):
        assert figures[form]["max_difference"] < 1e-5 and figures[form]["agreement"] == 1.0
        assert figures[form]["accuracy"] == figures["keras"]["accuracy"]


@pytest.mark.parametrize("precision", ["int8", "other"])
def test_the_figures_are_those_of_all_logits(compared, precision):
    model, paths, examples, figures = compared
    encoded = model.encode(examples)
    keras, litert = model.logits(encoded), LiteRtModel(paths[precision]).logits(encoded)
    answers = litert.argmax(-1)
    accuracy = glue.compute("classification", answers, examples.labels)["accuracy"]
    assert figures[f"litert_{precision}"] == pytest.approx(
        {
            "max_difference": np.abs(litert - keras).max(),
            "mean_difference": np.abs(litert - keras).mean(),
            "agreement": np.mean(answers == keras.argmax(-1)),
            "accuracy": accuracy,
            "accuracy_standard_error": np.sqrt(accuracy * (1 - accuracy) / 40),
        },
        abs=1e-6,
    )


def test_a_file_of_another_model_is_detected(compared):
    *_, figures = compared
    assert figures["litert_other"]["max_difference"] > 0.1
    assert figures["litert_other"]["agreement"] < 0.9


def test_a_regression_has_correlations_and_no_agreement(models, versions, litert_files):
    model = models["regression"]
    examples = small_examples(model.task, count=20)
    files = {"float32": litert_files["regression"]["float32"]}
    figures = _parity(model, versions["regression"], files, examples)
    assert list(figures) == ["keras", *_SERVED, "saved_model_regress", "litert_float32"]
    for form in figures:
        assert figures[form].keys() == {"max_difference", "mean_difference", "pearson", "spearman"}
        assert figures[form]["max_difference"] < 1e-5
        assert figures[form]["pearson"] == pytest.approx(figures["keras"]["pearson"], abs=1e-4)


def test_nan_is_counted_and_refused_for_keras():
    model = MAKERS["regression"]()
    examples = small_examples(model.task, count=5)
    encoded = model.encode(examples)
    broken = Form(lambda: np.array([0.5, np.nan, 1.0, np.inf, 0.0]))
    figures = parity(model, {"broken": broken}, examples, encoded)
    assert figures["broken"] == {"not_finite": 2}
    model.model.head.classifier.bias.assign([np.nan])
    with pytest.raises(UserError, match="the Keras model gives NaN or infinity for a text"):
        parity(model, {}, examples, encoded)
