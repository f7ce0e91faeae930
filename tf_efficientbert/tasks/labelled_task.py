"""Tasks with a label per text, from files to scores."""

import re
from abc import abstractmethod
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from tf_efficientbert.tasks.scores import METRICS, accuracy_standard_error
from tf_efficientbert.tasks.task import Task

__all__ = ["WHOLE_NUMBER", "LabelledTask", "Prediction", "sorted_labels"]

WHOLE_NUMBER = re.compile(r"[+-]?\d+(\.0*)?")


def sorted_labels(names: Collection[str]) -> tuple[str, ...]:
    """Returns the distinct names, sorted: all numbers by value, otherwise by code points."""
    distinct = set(names)
    if all(WHOLE_NUMBER.fullmatch(name) for name in distinct):
        return tuple(sorted(distinct, key=lambda name: (int(name), name)))
    return tuple(sorted(distinct))


class Prediction(NamedTuple):
    """The prediction for one text.

    Attributes:
        label: the class; for multi-label tasks all predicted labels, joined by the task's
            separator; empty for a regression.
        score: its probability; for multi-label tasks that of the least certain label; for a
            regression the predicted value.
    """

    label: str
    score: float


@dataclass(frozen=True)
class LabelledTask(Task):
    """A task whose examples are rows of a file, with one label each."""

    takes_columns: ClassVar[bool] = False  # columns of 0 and 1, one per label

    # Labels as written in files, and targets as losses and metrics use them.

    @classmethod
    @abstractmethod
    def recognizes(cls, values: Sequence[object]) -> bool:
        """Whether these labels of a file are most likely of this kind."""

    @classmethod
    def implausible(cls, values: Sequence[object]) -> str | None:
        """Returns why these do not look like labels of a guessed kind, or None."""
        return None

    @classmethod
    @abstractmethod
    def names_in(cls, value: object, separator: str) -> list[str]:
        """Returns the class names in a label of a file.

        Raises:
            ValueError: the label is missing or invalid.
        """

    @classmethod
    def labels_of(cls, names: Collection[str]) -> tuple[str, ...]:
        """Returns the task's class names, sorted, from all names in a training file."""
        return sorted_labels(names)

    @classmethod
    def file_arguments(cls, separator: str) -> dict:
        """Returns the constructor arguments that come from flags on labels in files."""
        return {}

    def kept_label(self, value: object, left_out: Collection[str]) -> object | None:
        """Returns a label without the names in `left_out`; None if the row is left out."""
        return value

    @abstractmethod
    def target(self, value: object) -> Any:
        """Returns the target of one example for its label in a file.

        Raises:
            ValueError: the label is not valid for the task; the message says why.
        """

    @abstractmethod
    def targets(self, targets: Sequence) -> np.ndarray:
        """Returns the targets of many examples as one array [examples, ...]."""

    @abstractmethod
    def shown(self, target: Any) -> str | float:
        """Returns a target as its label in a file."""

    def strata(self, targets: np.ndarray) -> Sequence[Hashable]:
        """Returns each example's stratum, which splits keep in proportion; all equal by default."""
        return [None] * len(targets)

    def unlearnable(self, targets: np.ndarray) -> str | None:
        """Returns why nothing can be learned from these training targets, or None."""
        return None

    def class_weights(self, targets: np.ndarray) -> np.ndarray | None:
        """Returns a weight per class, inversely proportional to its count; None without classes."""
        return None

    @abstractmethod
    def label_loss(self, labels, outputs: Mapping, class_weights: np.ndarray | None = None):
        """Returns the loss of the head's outputs against the labels, one float32 scalar."""

    # Predictions; `logits` are the outputs named "logits".

    @abstractmethod
    def held_out_loss(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """Returns `label_loss` in float64; it decides between candidates of equal score."""

    @abstractmethod
    def answers(self, logits: np.ndarray) -> np.ndarray:
        """Returns predictions in the form and shape of the targets, for metrics."""

    def same_answers(self, logits: np.ndarray, others: np.ndarray) -> np.ndarray | None:
        """Returns bool [examples], true if both predictions agree; None for a regression."""
        return None

    @abstractmethod
    def decode(self, logits: np.ndarray) -> list[Prediction]:
        """Returns predictions with label names and scores."""

    def worded(self, prediction: Prediction) -> str:
        """Formats a prediction as text: `good (0.93)`."""
        return f"{prediction.label} ({prediction.score:.2f})"

    def probabilities(self, logits):
        """Returns a probability per class, for arrays and in graphs; None without classes."""
        return None

    def teacher_logits(self, probabilities: np.ndarray) -> np.ndarray | None:
        """Returns logits for these `probabilities` [examples, classes]; None without classes."""
        return None

    @abstractmethod
    def served_outputs(self, logits) -> dict:
        """Returns the outputs of a served signature, in a TensorFlow graph."""

    def fitted(self, logits: np.ndarray, labels: np.ndarray) -> "LabelledTask":
        """Returns the task with all that is fitted on a dev set's logits, such as thresholds."""
        return self

    # Scores.

    def score(self, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Returns the task's metrics over a whole set; accuracy comes with its standard error."""
        answers = self.answers(logits)
        scores = {}
        for name in self.metrics:
            scores[name] = METRICS[name](answers, labels)
            if name == "accuracy":
                error = accuracy_standard_error(scores[name], len(labels))
                scores["accuracy_standard_error"] = error
        return scores

    def report(self, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Returns `score`, plus macro F1 for classes, because accuracy hides rare classes."""
        scores = self.score(logits, labels)
        if self.has_classes:
            scores.setdefault("macro_f1", METRICS["macro_f1"](self.answers(logits), labels))
        return scores

    def dev_scores(self, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Returns {"dev_…": score} of the set that the task is `fitted` to."""
        scores = self.fitted(logits, labels).score(logits, labels)
        return {f"dev_{name}": value for name, value in scores.items()}

    def per_class(self, logits: np.ndarray, labels: np.ndarray) -> list[dict]:
        """Returns [{"label", "precision", "recall", "f1", "support"}], one per class, if any."""
        return []

    def confusion(self, logits: np.ndarray, labels: np.ndarray) -> dict | None:
        """Returns {"labels", "counts" [true][predicted]} if each example has one class."""
        return None
