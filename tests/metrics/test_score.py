import numpy as np
import pytest

from tf_efficientbert.data.glue import TASKS
from tf_efficientbert.data.task import Task
from tf_efficientbert.metrics.score import score

_MOOD = Task("mood", ("sad", "so so", "glad"), pair=False)
_LIKENESS = Task("likeness", (), pair=True)


def test_accuracy_is_the_share_of_right_arg_maxes_with_its_standard_error():
    logits = np.array([[2.0, 1, 0], [0, 1, 2], [5, 6, -1], [-3, -2, -1], [0, 0, 1]])
    scores = score(_MOOD, logits, np.array([0, 1, 1, 2, 2]))
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
    assert score(_LIKENESS, logits, labels) == pytest.approx(expected)


def test_a_task_s_own_metrics_are_taken():
    draws = np.random.default_rng(1)
    logits, labels = draws.normal(size=(60, 2)), draws.integers(0, 2, 60)
    answers = logits.argmax(1)
    matthews = np.corrcoef(answers, labels)[0, 1]
    assert score(TASKS["CoLA"], logits, labels) == pytest.approx({"matthews": matthews})
    scores = score(TASKS["MRPC"], logits, labels)
    assert scores.keys() == {"accuracy", "f1", "accuracy_standard_error"}
    both = np.sum((answers == 1) & (labels == 1))
    assert scores["f1"] == pytest.approx(2 * both / (answers.sum() + labels.sum()))
    assert scores["accuracy"] == pytest.approx(np.mean(answers == labels))


def test_a_set_is_scored_whole_and_not_as_a_mean_over_parts():
    logits = np.array([[0, 1], [0, 1], [0, 1], [1, 0]])
    labels = np.array([1, 1, 0, 1])
    whole = score(TASKS["MRPC"], logits, labels)["f1"]
    parts = [score(TASKS["MRPC"], logits[i : i + 2], labels[i : i + 2])["f1"] for i in (0, 2)]
    assert whole == pytest.approx(2 / 3) and np.mean(parts) == pytest.approx(1 / 2)


def test_as_many_logits_as_labels_are_needed():
    with pytest.raises(ValueError, match="2 predictions and 3 labels"):
        score(_MOOD, np.zeros((2, 3)), np.zeros(3, int))
