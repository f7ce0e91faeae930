"""The GLUE metrics, each computed over a whole set at once.

F1 and the correlations are not means over examples and cannot be averaged over batches: collect
all predictions first. All scores are fractions, not percentages.
"""

import numpy as np
from numpy.typing import ArrayLike

from tf_efficientbert.data.glue import find_task
from tf_efficientbert.tasks import METRICS, Classification, Regression

__all__ = ["compute"]

# The scores do not depend on the number of classes.
_ANY_TASK = {
    "classification": Classification("classification", ("0", "1"), pair=False),
    "regression": Regression("regression", (), pair=False),
}


def compute(task: str, predictions: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Scores predictions with the metrics of a task.

    Args:
        task: the name of a GLUE task in upper or lower case, or "classification" or "regression".
        predictions: shape [examples]; class indices, or scores for regression.
        labels: as predictions.

    Returns:
        Metric name -> value: accuracy, f1 (of class 1) in [0, 1]; matthews, pearson, spearman
        in [-1, 1]. An undefined correlation, with constant predictions or labels, is 0.0; so is
        f1 without true positives.

    Raises:
        ValueError: the arrays are empty, differ in length, or contain an invalid class index or
            score.
        UserError: there is no task of that name.
    """
    found = _ANY_TASK.get(task.lower()) or find_task(task)
    read = _class_indices if found.labels else _scores
    predictions, labels = read(predictions, "predictions"), read(labels, "labels")
    if len(predictions) != len(labels) or len(labels) == 0:
        raise ValueError(
            f"there are {len(predictions)} predictions and {len(labels)} labels; "
            "expected the same number of both, and at least one"
        )
    return {name: METRICS[name](predictions, labels) for name in found.metrics}


def _class_indices(values: ArrayLike, name: str) -> np.ndarray:
    indices = _scores(values, name)
    wrong = (indices < 0) | (indices != np.floor(indices))
    if wrong.any():
        position = int(np.argmax(wrong))
        raise ValueError(f"{name}[{position}] is {indices[position]}, expected a class index")
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
