"""Scores of a model on a labelled set."""

import numpy as np

from tf_efficientbert.data.task import Task
from tf_efficientbert.metrics import glue


def score(task: Task, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The task's metrics over the whole set; accuracy comes with its standard error.

    Args:
        logits: [examples, classes], or [examples] for a regression.
        labels: [examples].
    """
    predictions = logits if task.is_regression else logits.argmax(axis=-1)
    scores = glue.compute(task, predictions, labels)
    if "accuracy" in scores:
        error = glue.accuracy_standard_error(scores["accuracy"], len(labels))
        scores["accuracy_standard_error"] = error
    return scores
