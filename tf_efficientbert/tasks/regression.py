"""Tasks with a number per example."""

import contextlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from keras import ops

from tf_efficientbert.errors import UserError
from tf_efficientbert.tasks.classification import MOST_NUMBERED_CLASSES
from tf_efficientbert.tasks.labelled_task import LabelledTask, Prediction
from tf_efficientbert.tasks.pooled_head import ClassificationHead

__all__ = ["Regression", "regression_loss"]

_MOST = 0.9
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def regression_loss(labels, predictions):
    """Returns the MSE of `predictions` against `labels`, both float [batch] (STS-B)."""
    return ops.mean(ops.square(ops.cast(labels, "float32") - ops.cast(predictions, "float32")))


@dataclass(frozen=True)
class Regression(LabelledTask):
    """Each example has a finite number, which is its target."""

    kind: ClassVar[str] = "regression"
    known_metrics: ClassVar[tuple[str, ...]] = ("pearson", "spearman")
    num_default_metrics: ClassVar[int] = 2
    served_as: ClassVar[str] = "regress"
    has_classes: ClassVar[bool] = False
    distilled_outputs: ClassVar[tuple[str, ...]] = ()  # the loss reads labels
    problem_type: ClassVar[str | None] = "regression"

    def check_labels(self) -> None:
        if self.labels:
            raise UserError(
                f"labels of task {self.name!r} are {list(self.labels)}, but a regression has none"
            )

    @classmethod
    def recognizes(cls, values: Sequence[object]) -> bool:
        # A few values that are not numbers are bad rows, not class names.
        numbers = [number for value in values if math.isfinite(number := _likely_number(value))]
        kinds = set(numbers)
        few_kinds = len(kinds) <= MOST_NUMBERED_CLASSES and all(n == int(n) for n in kinds)
        return len(numbers) >= _MOST * len(values) and not few_kinds

    @classmethod
    def names_in(cls, value: object, separator: str) -> list[str]:
        return []

    def target(self, value: object) -> float:
        if value is None or (isinstance(value, str) and not value.strip()):
            raise ValueError("the label is missing")
        number = _number(value)
        # The comparison is false for NaN too.
        if not abs(number) <= _FLOAT32_MAX:
            hint = "; write it with a decimal point" if _has_decimal_comma(value) else ""
            raise ValueError(f"label {value!r} is not a finite number{hint}")
        return number

    def targets(self, targets: Sequence) -> np.ndarray:
        return np.array(targets, np.float32)

    def shown(self, target: float) -> float:
        return float(target)

    def unlearnable(self, targets: np.ndarray) -> str | None:
        if np.unique(targets).size > 1:
            return None
        return f"all {len(targets)} training examples have the label {targets[0]:g}"

    def new_head(self, hidden_size: int, dropout: float, **kwargs) -> ClassificationHead:
        return ClassificationHead(hidden_size, 1, dropout, **kwargs)

    def blank_outputs(self, token_ids) -> dict:
        return {"logits": ops.zeros((ops.shape(token_ids)[0],))}

    def blank_labels(self, count: int) -> np.ndarray | None:
        return np.zeros(count, np.float32)

    def label_loss(self, labels, outputs: Mapping, class_weights: np.ndarray | None = None):
        return regression_loss(labels, outputs["logits"])

    def distillation_loss(self, theirs, ours, batch, temperature, sum_over_classes):
        # As in the reference, the target is the label, not the teacher's output.
        return regression_loss(batch["labels"], ours["logits"])

    def held_out_loss(self, logits: np.ndarray, labels: np.ndarray) -> float:
        return float(np.mean(np.square(logits.astype(np.float64) - labels)))

    def answers(self, logits: np.ndarray) -> np.ndarray:
        return logits

    def decode(self, logits: np.ndarray) -> list[Prediction]:
        return [Prediction("", float(value)) for value in logits]

    def worded(self, prediction: Prediction) -> str:
        return f"{prediction.score:.2f}"

    def served_outputs(self, logits) -> dict:
        return {"logits": logits}

    @property
    def described_outputs(self) -> tuple[str, str]:
        return ("`logits` [batch]",) * 2

    @property
    def described_answer(self) -> str:
        return "a number"


def _has_decimal_comma(value: object) -> bool:
    return isinstance(value, str) and bool(_DECIMAL_COMMA.fullmatch(value.strip()))


def _likely_number(value: object) -> float:
    return _number(value.replace(",", ".") if _has_decimal_comma(value) else value)


def _number(value: object) -> float:
    """Returns the label as a float, NaN if it is not a number."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):
            return float(value)
    return math.nan
