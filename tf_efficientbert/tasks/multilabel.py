"""Tasks with any number of labels per example."""

import ast
import contextlib
import json
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from keras import ops

from tf_efficientbert.errors import UserError
from tf_efficientbert.tasks.classification import (
    check_class_names,
    described_classes,
    label_name,
)
from tf_efficientbert.tasks.labelled_task import LabelledTask, Prediction
from tf_efficientbert.tasks.pooled_head import ClassificationHead

__all__ = ["SEPARATOR", "MultiLabel"]

SEPARATOR = "|"
_LEAST_PROBABILITY = 1e-6
_DECIMALS = 6  # of probabilities, when thresholds are fitted
_MOST = 0.9  # share of the rows from which the others count as faulty


@dataclass(frozen=True)
class MultiLabel(LabelledTask):
    """Each example has none, some or all of the labels; a target is a tuple of 0 and 1.

    The outputs are independent: each has a sigmoid and binary cross-entropy.

    Args:
        separator: separates the labels of an example in a file.
        thresholds: the probability from which each label is predicted; 0.5 for all by default.
    """

    kind: ClassVar[str] = "multilabel"
    known_metrics: ClassVar[tuple[str, ...]] = ("micro_f1", "macro_f1", "accuracy")
    num_default_metrics: ClassVar[int] = 2
    served_as: ClassVar[str] = "classify"
    problem_type: ClassVar[str | None] = "multi_label_classification"
    takes_columns: ClassVar[bool] = True

    separator: str = field(default=SEPARATOR, compare=False)
    thresholds: tuple[float, ...] = field(default=(), compare=False)

    def check_labels(self) -> None:
        check_class_names(self)
        found = next((label for label in self.labels if self.separator in label), None)
        if found is not None:
            raise UserError(
                f"label {found!r} contains {self.separator!r}, which separates the labels of an "
                "example; choose another --label_separator"
            )
        thresholds = tuple(self.thresholds) or (0.5,) * len(self.labels)
        if len(thresholds) != len(self.labels):
            raise UserError(
                f"{len(thresholds)} thresholds for the {len(self.labels)} labels of {self.name!r}"
            )
        object.__setattr__(self, "thresholds", thresholds)

    @classmethod
    def recognizes(cls, values: Sequence[object]) -> bool:
        lists = sum(_list_in(value) is not None for value in values)
        return bool(values) and lists >= _MOST * len(values)

    @classmethod
    def names_in(cls, value: object, separator: str) -> list[str]:
        return _names(value, separator)

    @classmethod
    def file_arguments(cls, separator: str) -> dict:
        return {"separator": separator}

    def kept_label(self, value: object, left_out: Collection[str]) -> object | None:
        try:
            return [name for name in _names(value, self.separator) if name not in left_out]
        except ValueError:  # `target` raises it with a message
            return value

    def target(self, value: object) -> tuple[int, ...]:
        names = _names(value, self.separator)
        for name in names:
            if name not in self.labels:
                raise ValueError(f"label {name!r} is not one of the task's labels")
        return tuple(int(label in names) for label in self.labels)

    def targets(self, targets: Sequence) -> np.ndarray:
        return np.array(targets, np.float32).reshape(len(targets), len(self.labels))

    def shown(self, target: Sequence[float]) -> str:
        return self.separator.join(
            label for label, has in zip(self.labels, target, strict=True) if has
        )

    def strata(self, targets: np.ndarray) -> Sequence[Hashable]:
        # Each example's rarest label. Whole label sets are no use as strata: every example may
        # have a different one.
        counts = targets.sum(axis=0)
        order = np.lexsort((np.arange(len(self.labels)), counts))
        rarest = targets[:, order].astype(bool).argmax(axis=1)
        return np.where(targets.any(axis=1), order[rarest], -1).tolist()

    def unlearnable(self, targets: np.ndarray) -> str | None:
        if (targets.min(axis=0) != targets.max(axis=0)).any():
            return None
        return f"all {len(targets)} training examples have the same labels"

    def new_head(self, hidden_size: int, dropout: float, **kwargs) -> ClassificationHead:
        return ClassificationHead(hidden_size, len(self.labels), dropout, **kwargs)

    def blank_outputs(self, token_ids) -> dict:
        return {"logits": ops.zeros((ops.shape(token_ids)[0], len(self.labels)))}

    def class_weights(self, targets: np.ndarray) -> np.ndarray | None:
        """Returns each label's weight where it is true: examples without it per one with it."""
        positive = targets.sum(axis=0)
        return ((len(targets) - positive) / np.maximum(positive, 1)).astype(np.float32)

    def label_loss(self, labels, outputs: Mapping, class_weights: np.ndarray | None = None):
        losses = _binary_cross_entropy(labels, outputs["logits"])
        if class_weights is not None:
            losses = losses * ops.where(labels > 0, class_weights, 1.0)
        return ops.mean(losses)

    def distillation_loss(self, theirs, ours, batch, temperature, sum_over_classes):
        target = ops.sigmoid(ops.cast(theirs["logits"], "float32") / temperature)
        logits = ops.cast(ours["logits"], "float32") / temperature
        loss = ops.mean(_binary_cross_entropy(target, logits))
        return loss * len(self.labels) if sum_over_classes else loss

    def held_out_loss(self, logits: np.ndarray, labels: np.ndarray) -> float:
        logits = logits.astype(np.float64)
        return float(np.mean(np.logaddexp(0.0, logits) - labels * logits))

    def answers(self, logits: np.ndarray) -> np.ndarray:
        return self._is_answered(_sigmoid(logits))

    def same_answers(self, logits: np.ndarray, others: np.ndarray) -> np.ndarray | None:
        return (self.answers(logits) == self.answers(others)).all(axis=1)

    def decode(self, logits: np.ndarray) -> list[Prediction]:
        probabilities = _sigmoid(logits)
        decoded = []
        for row, answered in zip(probabilities, self._is_answered(probabilities), strict=True):
            # If no label is predicted, the score is 1 less the highest probability.
            score = row[answered].min() if answered.any() else 1 - row.max()
            decoded.append(Prediction(self.shown(answered), float(score)))
        return decoded

    def worded(self, prediction: Prediction) -> str:
        return super().worded(prediction._replace(label=prediction.label or "no label"))

    def probabilities(self, logits):
        return ops.sigmoid(logits)

    def teacher_logits(self, probabilities: np.ndarray) -> np.ndarray | None:
        p = np.clip(probabilities, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
        return np.log(p / (1 - p)).astype(np.float32)

    def served_outputs(self, logits) -> dict:
        import tensorflow as tf  # keras.ops has no strings

        probabilities = self.probabilities(logits)
        answered = probabilities >= tf.constant(self.thresholds, tf.float32)
        labels = tf.where(answered, tf.constant(self.labels), "")
        return {"logits": logits, "probabilities": probabilities, "labels": labels}

    @property
    def described_outputs(self) -> tuple[str, str]:
        labels = "`labels` [batch, classes], empty for those that a text has not"
        return (f"`logits`, `probabilities` [batch, classes], {labels}",) * 2

    @property
    def described_answer(self) -> str:
        return f"any of {len(self.labels)} labels"

    def fitted(self, logits: np.ndarray, labels: np.ndarray) -> "MultiLabel":
        """Returns the task with the threshold for each label that maximizes its F1."""
        probabilities = _sigmoid(logits)
        thresholds = [_best_threshold(p, y) for p, y in zip(probabilities.T, labels.T, strict=True)]
        return replace(self, thresholds=tuple(thresholds))

    def per_class(self, logits: np.ndarray, labels: np.ndarray) -> list[dict]:
        return described_classes(self, self.answers(logits), labels)

    def _is_answered(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities >= np.array(self.thresholds, np.float32)


def _names(value: object, separator: str) -> list[str]:
    """Returns the labels of one example, given as a list or separated text; [] for none.

    Raises:
        ValueError: the value is null, which is not the same as no labels, or is invalid.
    """
    if value is None:
        raise ValueError("the label is missing")
    found = _list_in(value)
    if found is None and isinstance(value, str):
        found = [part for part in value.split(separator) if part.strip()]
    return [label_name(each) for each in (found if found is not None else [value])]


def _list_in(value: object) -> list | None:
    """Returns a label that is a list, or text of a list in JSON or (pandas) Python; or None."""
    if isinstance(value, list | tuple):
        return list(value)
    if not isinstance(value, str) or not value.strip().startswith("["):
        return None
    for read in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            found = read(value.strip())
            return found if isinstance(found, list) else None
    return None


def _binary_cross_entropy(targets, logits):
    """Returns -y log p - (1 - y) log(1 - p) for each output, from logits."""
    return ops.softplus(logits) - ops.cast(targets, "float32") * logits


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    # Computed as in the graph, so that both are on the same side of a threshold.
    return ops.convert_to_numpy(ops.sigmoid(logits))


def _best_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the threshold with the highest F1, on ties nearest to 0.5; 0.5 without examples."""
    if not labels.any():
        return 0.5
    # Candidates are 0.5 and the midpoints of neighbouring probabilities. Rounding merges those that
    # differ only in the last digits, as the same text does in two batches.
    probabilities = probabilities.astype(np.float64).round(_DECIMALS)
    order = np.argsort(probabilities, kind="stable")
    ascending = probabilities[order]
    distinct = np.unique([0.0, *ascending])
    candidates = np.concatenate([[0.5], (distinct[1:] + distinct[:-1]) / 2])
    below = np.searchsorted(ascending, candidates, side="left")
    hits_below = np.concatenate([[0.0], np.cumsum(labels[order] > 0)])
    hits = hits_below[-1] - hits_below[below]
    f1 = 2 * hits / (len(labels) - below + hits_below[-1])
    return float(candidates[np.lexsort((np.abs(candidates - 0.5), -f1))[0]])
