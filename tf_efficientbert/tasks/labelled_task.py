"""Tasks with a label a text, from files to scores."""

from abc import abstractmethod
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tf_efficientbert.tasks.scores import METRICS, accuracy_standard_error
from tf_efficientbert.tasks.task import Task

__all__ = ["LabelledTask", "Prediction"]


class Prediction(NamedTuple):
    """The answer to one text.

    Attributes:
        label: the class; of several labels all of them, with the task's separator between them;
            empty for a regression.
        score: its probability; of several labels that of the least certain one; of a regression
            the figure.
    """

    label: str
    score: float


@dataclass(frozen=True)
class LabelledTask(Task):
    """A task whose examples are rows of a file, with a label each."""

    # Labels as people write them, and targets as losses and metrics read them.

    @classmethod
    @abstractmethod
    def recognizes(cls, values: Sequence[object]) -> bool:
        """Whether these labels, as a file has them, are most likely of this kind."""

    @classmethod
    @abstractmethod
    def labels_in(cls, values: Sequence[object], separator: str) -> tuple[str, ...]:
        """The class names among a training file's labels, sorted."""

    def kept_label(self, value: object, left_out: Collection[str]) -> object | None:
        """A label of a file without the names in `left_out`; None where nothing is left of it."""
        return value

    @abstractmethod
    def target(self, value: object) -> Any:
        """The target of one example from its label in a file.

        Raises:
            ValueError: the label is none of the task's; the message says what is wrong.
        """

    @abstractmethod
    def targets(self, targets: Sequence) -> np.ndarray:
        """The targets of many examples, [examples, ...]."""

    @abstractmethod
    def shown(self, target: Any) -> str | float:
        """A target as a file would have it."""

    def stratum(self, target: Any) -> Hashable:
        """What splits keep in proportion; the same for all where there is nothing to keep."""
        return None

    def unlearnable(self, targets: np.ndarray) -> str | None:
        """Why a training set of these targets teaches nothing, or None."""
        return None

    def class_weights(self, targets: np.ndarray) -> np.ndarray | None:
        """A weight a class, inversely proportional to its count; None without classes."""
        return None

    @abstractmethod
    def label_loss(self, labels, outputs: Mapping, class_weights: np.ndarray | None = None):
        """The loss of the head's outputs against the labels, one float32 scalar."""

    # Answers; `logits` are the outputs named "logits".

    @abstractmethod
    def held_out_loss(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """`label_loss` in float64, which decides between candidates of equal score."""

    @abstractmethod
    def answers(self, logits: np.ndarray) -> np.ndarray:
        """What metrics compare with the targets, shaped as they are."""

    def same_answers(self, logits: np.ndarray, others: np.ndarray) -> np.ndarray | None:
        """bool [examples], where both answer alike; None where answers are numbers."""
        return None

    @abstractmethod
    def decode(self, logits: np.ndarray) -> list[Prediction]:
        """The answers for people."""

    def probabilities(self, logits):
        """A probability a class, of arrays and in graphs alike; None without classes."""
        return None

    def teacher_logits(self, probabilities: np.ndarray) -> np.ndarray | None:
        """Logits that give these `probabilities` [examples, classes]; None without classes."""
        return None

    @abstractmethod
    def served_outputs(self, logits) -> dict:
        """The outputs of a served signature, in a TensorFlow graph."""

    def fitted(self, logits: np.ndarray, labels: np.ndarray) -> "LabelledTask":
        """The task with all that it takes from a dev set's answers."""
        return self

    # Scores.

    def score(self, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """The task's metrics over a whole set; an accuracy comes with its standard error."""
        answers = self.answers(logits)
        scores = {}
        for name in self.metrics:
            scores[name] = METRICS[name](answers, labels)
            if name == "accuracy":
                error = accuracy_standard_error(scores[name], len(labels))
                scores["accuracy_standard_error"] = error
        return scores

    def per_class(self, logits: np.ndarray, labels: np.ndarray) -> list[dict]:
        """[{"label", "precision", "recall", "f1", "support"}] of each class; none without."""
        return []

    def confusion(self, logits: np.ndarray, labels: np.ndarray) -> dict | None:
        """{"labels", "counts" [true][answered]} where an example has one class."""
        return None
