"""Metrics of predictions ("answers"), each computed over a whole set at once.

F1 and the correlations are not means over examples and cannot be averaged over batches: collect
all predictions first. All scores are fractions, not percentages. An undefined correlation, with
constant predictions or labels, is 0.0; so is F1 without true positives.
"""

import math
from collections.abc import Callable

import numpy as np

__all__ = ["METRICS", "accuracy_standard_error", "per_class_counts", "precision_recall_f1"]


def accuracy_standard_error(accuracy: float, count: int) -> float:
    """Returns the binomial standard error of an accuracy, sqrt(p (1 - p) / n).

    Args:
        accuracy: a fraction in [0, 1].
        count: the number of examples it was measured on.

    Raises:
        ValueError: the accuracy is not in [0, 1] or the count is not positive.
    """
    if not 0.0 <= accuracy <= 1.0 or count < 1:
        raise ValueError(
            f"accuracy must be in [0, 1] and count positive, but got {accuracy} and {count}"
        )
    return math.sqrt(accuracy * (1.0 - accuracy) / count)


def per_class_counts(answers: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Returns each class's true positives, predictions and labels: int [classes, 3].

    Args:
        answers, labels: class indices [examples], or bool [examples, classes].
    """
    if answers.ndim == 1:
        each = (answers[answers == labels], answers, labels)
        return np.stack([np.bincount(values, minlength=classes) for values in each], axis=1)
    answers, labels = answers.astype(bool), labels.astype(bool)
    return np.stack([(answers & labels).sum(0), answers.sum(0), labels.sum(0)], axis=1)


def precision_recall_f1(counts: np.ndarray) -> np.ndarray:
    """Returns float [classes, 3] from `per_class_counts`; undefined values are 0."""
    hits, answered, true = (column.astype(float) for column in counts.T)
    totals = [answered, true, (answered + true) / 2]
    return np.stack([hits / np.maximum(total, 0.5) for total in totals], axis=1)


def _accuracy(answers: np.ndarray, labels: np.ndarray) -> float:
    """Share of correct predictions; for multi-label, of examples with all labels correct."""
    right = answers == labels
    return float(np.mean(right if right.ndim == 1 else right.all(axis=1)))


def _f1(answers: np.ndarray, labels: np.ndarray) -> float:
    """2 TP / (2 TP + FP + FN) of class 1."""
    true_positives = int(np.sum((answers == 1) & (labels == 1)))
    positives = int(np.sum(answers == 1) + np.sum(labels == 1))
    return 2.0 * true_positives / positives if positives else 0.0


def _macro_f1(answers: np.ndarray, labels: np.ndarray) -> float:
    """The mean F1 of the classes that are predicted or true."""
    classes = int(max(answers.max(), labels.max())) + 1 if answers.ndim == 1 else answers.shape[1]
    counts = per_class_counts(answers, labels, classes)
    occurs = counts[:, 1:].any(axis=1)
    return float(precision_recall_f1(counts)[occurs, 2].mean()) if occurs.any() else 0.0


def _micro_f1(answers: np.ndarray, labels: np.ndarray) -> float:
    """F1 of all (example, label) pairs together; bool [examples, classes] each."""
    counts = per_class_counts(answers, labels, answers.shape[1]).sum(axis=0, keepdims=True)
    return float(precision_recall_f1(counts)[0, 2])


def _matthews(answers: np.ndarray, labels: np.ndarray) -> float:
    """The Matthews correlation for any number of classes, R_K (Gorodkin, 2004, equation 8)."""
    classes = int(max(answers.max(), labels.max())) + 1
    # Python integers: products of large counts would overflow int64.
    answered = np.bincount(answers, minlength=classes).tolist()
    true = np.bincount(labels, minlength=classes).tolist()
    correct, count = int(np.sum(answers == labels)), len(labels)
    covariance = correct * count - sum(map(int.__mul__, answered, true))
    answered_variance = count**2 - sum(n * n for n in answered)
    true_variance = count**2 - sum(n * n for n in true)
    if answered_variance == 0 or true_variance == 0:
        return 0.0
    return covariance / math.sqrt(answered_variance * true_variance)


def _pearson(answers: np.ndarray, labels: np.ndarray) -> float:
    answers, labels = answers.astype(np.float64), labels.astype(np.float64)
    if answers.min() == answers.max() or labels.min() == labels.max():
        return 0.0
    correlation = _standardized(answers) @ _standardized(labels)
    return float(np.clip(correlation, -1.0, 1.0))


def _spearman(answers: np.ndarray, labels: np.ndarray) -> float:
    return _pearson(_average_ranks(answers), _average_ranks(labels))


def _standardized(values: np.ndarray) -> np.ndarray:
    # Scaled before the norm, so that squares neither overflow nor underflow.
    centred = values / np.abs(values).max()
    centred = centred - centred.mean()
    centred /= np.abs(centred).max()
    return centred / np.linalg.norm(centred)


def _average_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "macro_f1": _macro_f1,
    "matthews": _matthews,
    "micro_f1": _micro_f1,
    "pearson": _pearson,
    "spearman": _spearman,
}
