"""The GLUE metrics, each computed over a whole set at once.

F1 and the correlations are not means over examples, so a mean over batches is not their value:
collect all predictions first. All scores are fractions, not per cent.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from tf_efficientbert.data.glue import find_task
from tf_efficientbert.data.task import Task

__all__ = ["accuracy_standard_error", "compute"]

# The number of classes plays no part in the scores.
_CUSTOM_TASKS = {
    "classification": Task("classification", ("0", "1"), pair=False),
    "regression": Task("regression", (), pair=False),
}


def compute(task: str | Task, predictions: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Scores predictions with the metrics of a task.

    Args:
        task: a task, or the name of a GLUE task in upper or lower case, or "classification" or
            "regression".
        predictions: shape [examples]; class indices, or scores for regression.
        labels: as predictions.

    Returns:
        Metric name -> value: accuracy, f1 (of class 1) in [0, 1]; matthews, pearson, spearman
        in [-1, 1]. A correlation with constant predictions or labels, which is undefined, is
        0.0, as nothing was told apart; f1 without true positives is 0.0.

    Raises:
        ValueError: the arrays are empty, differ in length, or hold what is no class index or
            no finite score.
        UserError: there is no task of that name.
    """
    if isinstance(task, str):
        task = _CUSTOM_TASKS.get(task.lower()) or find_task(task)
    read = _scores if task.is_regression else _class_indices
    predictions, labels = read(predictions, "predictions"), read(labels, "labels")
    if len(predictions) != len(labels) or len(labels) == 0:
        raise ValueError(
            f"there are {len(predictions)} predictions and {len(labels)} labels; "
            "expected as many of both, and at least one"
        )
    return {name: _METRICS[name](predictions, labels) for name in task.metrics}


def accuracy_standard_error(accuracy: float, count: int) -> float:
    """The standard error of an accuracy: sqrt(p (1 - p) / n), the binomial's.

    Args:
        accuracy: a fraction in [0, 1].
        count: the number of examples it was measured on.

    Raises:
        ValueError: the accuracy is no fraction or the count is not positive.
    """
    if not 0.0 <= accuracy <= 1.0 or count < 1:
        raise ValueError(
            f"accuracy must be in [0, 1] and count positive, but got {accuracy} and {count}"
        )
    return math.sqrt(accuracy * (1.0 - accuracy) / count)


def _accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(predictions == labels))


def _f1(predictions: np.ndarray, labels: np.ndarray) -> float:
    """2 TP / (2 TP + FP + FN) of class 1."""
    true_positives = int(np.sum((predictions == 1) & (labels == 1)))
    positives = int(np.sum(predictions == 1) + np.sum(labels == 1))
    return 2.0 * true_positives / positives if positives else 0.0


def _matthews(predictions: np.ndarray, labels: np.ndarray) -> float:
    """The Matthews correlation for any number of classes, R_K (Gorodkin, 2004, equation 8)."""
    classes = int(max(predictions.max(), labels.max())) + 1
    # Python integers: products of the counts of a large set overflow no type.
    predicted = np.bincount(predictions, minlength=classes).tolist()
    true = np.bincount(labels, minlength=classes).tolist()
    correct, count = int(np.sum(predictions == labels)), len(labels)
    covariance = correct * count - sum(map(int.__mul__, predicted, true))
    predicted_variance = count**2 - sum(n * n for n in predicted)
    true_variance = count**2 - sum(n * n for n in true)
    if predicted_variance == 0 or true_variance == 0:
        return 0.0
    return covariance / math.sqrt(predicted_variance * true_variance)


def _pearson(predictions: np.ndarray, labels: np.ndarray) -> float:
    if predictions.min() == predictions.max() or labels.min() == labels.max():
        return 0.0
    correlation = _standardized(predictions) @ _standardized(labels)
    return float(np.clip(correlation, -1.0, 1.0))


def _spearman(predictions: np.ndarray, labels: np.ndarray) -> float:
    return _pearson(_average_ranks(predictions), _average_ranks(labels))


def _standardized(values: np.ndarray) -> np.ndarray:
    # Scaled before the norm, so that squares neither overflow nor vanish.
    centred = values / np.abs(values).max()
    centred = centred - centred.mean()
    centred /= np.abs(centred).max()
    return centred / np.linalg.norm(centred)


def _average_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]


def _class_indices(values: ArrayLike, name: str) -> np.ndarray:
    indices = _scores(values, name)
    wrong = (indices < 0) | (indices != np.floor(indices))
    if wrong.any():
        position = int(np.argmax(wrong))
        raise ValueError(f"{name}[{position}] is {indices[position]}, which is no class index")
    return indices.astype(np.int64)


def _scores(values: ArrayLike, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iuf"):
        raise ValueError(
            f"{name} must be numbers of shape [examples], got {array.dtype} of {array.shape}"
        )
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        position = int(np.argmin(np.isfinite(array)))
        raise ValueError(f"{name}[{position}] is {array[position]}, expected a finite number")
    return array


_METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "matthews": _matthews,
    "pearson": _pearson,
    "spearman": _spearman,
}
