import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tf_efficientbert.data.glue import TASKS
from tf_efficientbert.errors import UserError
from tf_efficientbert.metrics.glue import compute
from tf_efficientbert.tasks.scores import accuracy_standard_error

_BINARY = ([1, 0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1], [1, 0, 0, 1, 0, 1, 1, 0, 1, 0, 0, 1])
_THREE_WAY = ([0, 1, 2, 2, 1, 0, 0, 2, 1, 1, 0, 2], [0, 1, 2, 1, 1, 0, 2, 2, 0, 1, 1, 2])
# With ties on both sides.
_SCORES = ([0.5, 2.25, 3.0, 3.0, 4.75, 1.0, 2.25, 5.0], [0.0, 2.5, 3.2, 2.5, 5.0, 1.8, 2.5, 4.0])

# Made with scikit-learn 1.9.1 (accuracy_score, f1_score, matthews_corrcoef) and SciPy 1.17.1
# (pearsonr, spearmanr) on the lists above.
_REFERENCE = [
    ("SST-2", _BINARY, {"accuracy": 0.75}),
    ("RTE", _BINARY, {"accuracy": 0.75}),
    ("WNLI", _BINARY, {"accuracy": 0.75}),
    ("QNLI", _BINARY, {"accuracy": 0.75}),
    ("MRPC", _BINARY, {"accuracy": 0.75, "f1": 0.7692307692307693}),
    ("qqp", _BINARY, {"accuracy": 0.75, "f1": 0.7692307692307693}),
    ("cola", _BINARY, {"matthews": 0.50709255283711}),
    ("MNLI", _THREE_WAY, {"accuracy": 0.6666666666666666}),
    ("MNLI-mm", _THREE_WAY, {"accuracy": 0.6666666666666666}),
    ("AX", _THREE_WAY, {"matthews": 0.5052911526399114}),
    ("STS-B", _SCORES, {"pearson": 0.9313797295319249, "spearman": 0.93834311681711}),
    ("regression", _SCORES, {"pearson": 0.9313797295319249, "spearman": 0.93834311681711}),
    ("classification", _THREE_WAY, {"accuracy": 0.6666666666666666}),
]


@pytest.mark.parametrize(("task", "data", "expected"), _REFERENCE, ids=[r[0] for r in _REFERENCE])
def test_each_task_is_scored_with_its_metrics_as_the_reference_scores_it(task, data, expected):
    assert compute(task, *data) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", TASKS)
def test_every_glue_task_is_scored_with_the_metrics_it_names(name):
    assert tuple(compute(name, [0, 1, 1], [0, 1, 0])) == TASKS[name].metrics


def test_f1_over_the_set_is_not_the_mean_over_its_batches():
    predictions, labels = np.array([1, 0, 0, 0]), np.array([1, 0, 1, 1])
    batches = [compute("MRPC", predictions[i : i + 2], labels[i : i + 2])["f1"] for i in (0, 2)]
    assert np.mean(batches) == 0.5
    assert compute("MRPC", predictions, labels)["f1"] == 0.5 == 2 * 1 / (2 * 1 + 0 + 2)
    assert compute("MRPC", predictions[[0, 2, 1, 3]], labels[[0, 2, 1, 3]])["f1"] == 0.5


def test_matthews_is_exact_where_counts_are_large():
    predictions, labels = (np.tile(np.array(values, np.int32), 50_000) for values in _BINARY)
    assert compute("CoLA", predictions, labels)["matthews"] == pytest.approx(0.50709255283711)


@pytest.mark.parametrize("labels", [[0, 1, 1, 0], [1, 1, 1, 1]])
def test_constant_predictions_have_a_matthews_correlation_of_zero(labels):
    assert compute("CoLA", [1, 1, 1, 1], labels) == {"matthews": 0.0}


def test_no_true_positives_give_an_f1_of_zero():
    assert compute("MRPC", [0, 0], [0, 0]) == {"accuracy": 1.0, "f1": 0.0}


@pytest.mark.parametrize("constant", [0.1, 0.0, -3e300])
def test_constant_scores_have_correlations_of_zero(constant):
    zero = {"pearson": 0.0, "spearman": 0.0}
    assert compute("STS-B", [constant] * 3, [1.0, 2.0, 3.0]) == zero
    assert compute("STS-B", [1.0, 2.0, 3.0], [constant] * 3) == zero


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_correlations_do_not_depend_on_the_scale_of_the_predictions(scale):
    scores = compute("STS-B", np.array(_SCORES[0]) * scale, _SCORES[1])
    assert scores == pytest.approx(compute("STS-B", *_SCORES), abs=1e-12)


@given(st.lists(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2), min_size=1))
def test_correlations_are_always_between_minus_one_and_one(pairs):
    predictions, labels = zip(*pairs, strict=True)
    for value in compute("regression", predictions, labels).values():
        assert -1.0 <= value <= 1.0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_matthews_is_symmetric_and_at_most_one(pairs):
    predictions, labels = zip(*pairs, strict=True)
    value = compute("AX", predictions, labels)["matthews"]
    assert value == compute("AX", labels, predictions)["matthews"]
    assert -1.0 <= value <= 1.0 + 1e-12


_BAD_ARRAYS = {
    "unequal lengths": ("RTE", [0, 1, 1], [0, 1], "3 predictions and 2 labels"),
    "empty": ("RTE", [], [], "0 predictions and 0 labels"),
    "logits": ("RTE", [[0.1, 0.9]], [1], r"predictions must be numbers of shape \[examples\]"),
    "texts": ("RTE", ["entailment"], [0], "predictions must be numbers"),
    "fraction": ("RTE", [0, 0.5], [0, 1], r"predictions\[1\] is 0.5, expected a class index"),
    "negative": ("RTE", [0, 1], [0, -1], r"labels\[1\] is -1.0, expected a class index"),
    "NaN": ("STS-B", [1.0, float("nan")], [1.0, 2.0], r"predictions\[1\] is nan"),
    "infinite": ("STS-B", [1.0, 2.0], [float("inf"), 2.0], r"labels\[0\] is inf"),
}


@pytest.mark.parametrize(
    ("task", "predictions", "labels", "message"), _BAD_ARRAYS.values(), ids=_BAD_ARRAYS.keys()
)
def test_arrays_that_cannot_be_scored_are_refused(task, predictions, labels, message):
    with pytest.raises(ValueError, match=message):
        compute(task, predictions, labels)


def test_an_unknown_task_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match="'mood' is not a GLUE task"):
        compute("mood", [0], [0])


def test_standard_error_of_an_accuracy_is_the_binomial_one():
    assert accuracy_standard_error(0.5, 100) == pytest.approx(0.05)
    assert accuracy_standard_error(0.9, 900) == pytest.approx(0.01)
    assert accuracy_standard_error(1.0, 10) == 0.0


@pytest.mark.parametrize(("accuracy", "count"), [(90.0, 10), (-0.1, 10), (0.5, 0)])
def test_standard_error_of_what_is_no_accuracy_is_refused(accuracy, count):
    with pytest.raises(ValueError, match=f"{accuracy} and {count}"):
        accuracy_standard_error(accuracy, count)
