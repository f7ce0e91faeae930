"""The difference of two models' scores on the same examples, with its standard error."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from tf_efficientbert.tasks.labelled_task import LabelledTask
from tf_efficientbert.tasks.scores import METRICS

__all__ = ["mean_paired_difference", "paired_difference"]

_RESAMPLES = 1000
_SEED = 0


def paired_difference(
    task: LabelledTask,
    ours: np.ndarray,
    theirs: np.ndarray,
    labels: np.ndarray,
    *,
    their_task: LabelledTask | None = None,
) -> dict:
    """Compares two models by the task's first metric on the same examples.

    Accuracies differ by the examples that only one model predicts correctly: b only ours, c only
    theirs, of n. The standard error of (b - c) / n is sqrt(b + c - (b - c)^2 / n) / n, and the
    p-value is that of the exact two-sided test of b against c (McNemar 1947, "Note on the sampling
    error of the difference between correlated proportions or percentages"). Other metrics use a
    bootstrap over the examples, with the same resamples for both models; the p-value is the share
    of resamples whose difference is as far from the observed one as that is from 0 (Efron and
    Tibshirani 1993, "An Introduction to the Bootstrap", chapters 6 and 16).

    Args:
        task: defines the metric and the predictions from logits.
        ours, theirs: the logits of both models, [examples, ...].
        labels: the targets, see `LabelledTask.targets`.
        their_task: the task for `theirs`, if different: multi-label models have their own
            thresholds.

    Returns: {"metric", "difference" (ours less theirs, a fraction), "standard_error", "p_value"}.
        If both models' predictions are equal, they are 0, 0 and 1.
    """
    metric = task.metrics[0]
    answered = task.answers(ours), (their_task or task).answers(theirs), labels
    if metric == "accuracy":
        difference, error, p_value = _mcnemar(*answered)
    else:
        difference, error, p_value = _bootstrap(METRICS[metric], *answered)
    return {
        "metric": metric,
        "difference": difference,
        "standard_error": error,
        "p_value": p_value,
    }


def mean_paired_difference(
    task: LabelledTask,
    ours: Sequence[np.ndarray],
    theirs: Sequence[np.ndarray],
    labels: np.ndarray,
) -> dict:
    """Compares two ways of training over several seeds, by the task's first metric.

    The models of seed i are compared on the same examples. The standard error is that of a
    bootstrap over the examples, with the same resamples for all models. It says what other
    examples would change; the range shows what other seeds do.

    Args:
        ours, theirs: the logits of each seed's model, [examples, ...].
        labels: the targets, see `LabelledTask.targets`.

    Returns: {"metric", "difference" (ours less theirs, the mean over the seeds), "standard_error",
        "range" (the lowest and the highest difference of a seed)}.
    """
    score = METRICS[task.metrics[0]]
    pairs = [
        (task.answers(our), task.answers(their)) for our, their in zip(ours, theirs, strict=True)
    ]

    def differences(rows: np.ndarray | slice) -> list[float]:
        return [
            score(our[rows], labels[rows]) - score(their[rows], labels[rows])
            for our, their in pairs
        ]

    draws, count = np.random.default_rng(_SEED), len(labels)
    observed = differences(slice(None))
    resampled = [np.mean(differences(draws.integers(count, size=count))) for _ in range(_RESAMPLES)]
    return {
        "metric": task.metrics[0],
        "difference": float(np.mean(observed)),
        "standard_error": float(np.std(resampled, ddof=1)),
        "range": [min(observed), max(observed)],
    }


def _mcnemar(
    ours: np.ndarray, theirs: np.ndarray, labels: np.ndarray
) -> tuple[float, float, float]:
    count = len(labels)
    # For multi-label tasks all labels must be correct, as for accuracy.
    right = [(answers == labels).reshape(count, -1).all(axis=1) for answers in (ours, theirs)]
    gained, lost = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    variance = gained + lost - (gained - lost) ** 2 / count
    return (gained - lost) / count, math.sqrt(variance) / count, _sign_test(gained, lost)


def _sign_test(gained: int, lost: int) -> float:
    """Returns the p-value of the exact two-sided sign test."""
    total = gained + lost
    # Python integers: binomial coefficients of a large set overflow a float.
    ways, term = 0, 1
    for smaller in range(min(gained, lost) + 1):
        ways += term
        term = term * (total - smaller) // (smaller + 1)
    return min(1.0, 2 * ways / 2**total)


def _bootstrap(
    score: Callable[[np.ndarray, np.ndarray], float],
    ours: np.ndarray,
    theirs: np.ndarray,
    labels: np.ndarray,
) -> tuple[float, float, float]:
    def difference(rows: np.ndarray | slice) -> float:
        return score(ours[rows], labels[rows]) - score(theirs[rows], labels[rows])

    draws, count = np.random.default_rng(_SEED), len(labels)
    observed = difference(slice(None))
    resampled = np.array([difference(draws.integers(count, size=count)) for _ in range(_RESAMPLES)])
    # Centred on the observed difference, as under the null hypothesis. The tolerance keeps
    # rounding from separating equal distances.
    as_far = np.abs(resampled - observed) >= abs(observed) - 1e-12
    p_value = (1 + int(as_far.sum())) / (1 + _RESAMPLES)
    return observed, float(resampled.std(ddof=1)), p_value
