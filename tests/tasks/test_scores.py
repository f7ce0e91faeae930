import numpy as np
import pytest

from tf_efficientbert.data.glue import TASKS
from tf_efficientbert.tasks import Classification, Regression

_MOOD = Classification("mood", ("sad", "so so", "glad"), pair=False)
_LIKENESS = Regression("likeness", (), pair=True)


def test_accuracy_is_the_share_of_right_arg_maxes_with_its_standard_error():
    logits = np.array([[2.0, 1, 0], [0, 1, 2], [5, 6, -1], [-3, -2, -1], [0, 0, 1]])
    scores = _MOOD.score(logits, np.array([0, 1, 1, 2, 2]))
    assert scores == pytest.approx(
        {"accuracy": 0.8, "accuracy_standard_error": np.sqrt(0.8 * 0.2 / 5)}
    )


def test_a_regression_is_scored_by_its_correlations_without_an_error():
    draws = np.random.default_rng(0)
    labels = draws.normal(size=50).astype(np.float32)
    logits = np.exp(labels) + draws.normal(scale=0.1, size=50)
    ranks = [values.argsort().argsort() for values in (logits, labels)]
    expected = {
        "pearson": np.corrcoef(logits, labels)[0, 1],
        "spearman": np.corrcoef(*ranks)[0, 1],
    }
    assert _LIKENESS.score(logits, labels) == pytest.approx(expected)


def test_the_task_s_metrics_are_used():
    draws = np.random.default_rng(1)
    logits, labels = draws.normal(size=(60, 2)), draws.integers(0, 2, 60)
    answers = logits.argmax(1)
    matthews = np.corrcoef(answers, labels)[0, 1]
    assert TASKS["CoLA"].score(logits, labels) == pytest.approx({"matthews": matthews})
    scores = TASKS["MRPC"].score(logits, labels)
    assert scores.keys() == {"accuracy", "f1", "accuracy_standard_error"}
    both = np.sum((answers == 1) & (labels == 1))
    assert scores["f1"] == pytest.approx(2 * both / (answers.sum() + labels.sum()))
    assert scores["accuracy"] == pytest.approx(np.mean(answers == labels))


def test_scores_are_not_means_over_parts():
    logits = np.array([[0, 1], [0, 1], [0, 1], [1, 0]])
    labels = np.array([1, 1, 0, 1])
    whole = TASKS["MRPC"].score(logits, labels)["f1"]
    parts = [TASKS["MRPC"].score(logits[i : i + 2], labels[i : i + 2])["f1"] for i in (0, 2)]
    assert whole == pytest.approx(2 / 3) and np.mean(parts) == pytest.approx(1 / 2)
