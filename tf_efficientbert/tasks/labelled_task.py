"""Tasks with a label a text, from files to scores."""

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
    """Each name once: numbers by value, other names by their characters' code points."""
    distinct = set(names)
    if all(WHOLE_NUMBER.fullmatch(name) for name in distinct):
        return tuple(sorted(distinct, key=lambda name: (int(name), name)))
    return tuple(sorted(distinct))


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

    takes_columns: ClassVar[bool] = False  # columns of 0 and 1, a label each

    # Labels as people write them, and targets as losses and metrics read them.

    @classmethod
    @abstractmethod
    def recognizes(cls, values: Sequence[object]) -> bool:
        """Whether these labels, as a file has them, are most likely of this kind."""

    @classmethod
    def implausible(cls, values: Sequence[object]) -> str | None:
        """Why these look like no labels, where the kind is only a guess; or None."""
        return None

    @classmethod
    @abstractmethod
    def names_in(cls, value: object, separator: str) -> list[str]:
        """The class names in a label of a file.

        Raises:
            ValueError: it holds none that can be read.
        """

    @classmethod
    def labels_of(cls, names: Collection[str]) -> tuple[str, ...]:
        """The task's class names, sorted, from all names in a training file."""
        return sorted_labels(names)

    @classmethod
    def file_arguments(cls, separator: str) -> dict:
        """What a task of this kind takes from the flags about labels in files."""
        return {}

    def kept_label(self, value: object, left_out: Collection[str]) -> object | None:
        """A label of a file without the names in `left_out`; None where the row goes too."""
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

    def strata(self, targets: np.ndarray) -> Sequence[Hashable]:
        """Of each example what splits keep in proportion; the same where there is nothing."""
        return [None] * len(targets)

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

    def worded(self, prediction: Prediction) -> str:
        """An answer as a line of text has it: `good (0.93)`."""
        return f"{prediction.label} ({prediction.score:.2f})"

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

    def report(self, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """`score`, with macro F1 where there are classes: accuracy hides the rare ones."""
        scores = self.score(logits, labels)
        if self.has_classes:
            scores.setdefault("macro_f1", METRICS["macro_f1"](self.answers(logits), labels))
        return scores

    def dev_scores(self, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """{"dev_…": score} of the set that the task is `fitted` to."""
        scores = self.fitted(logits, labels).score(logits, labels)
        return {f"dev_{name}": value for name, value in scores.items()}

    def per_class(self, logits: np.ndarray, labels: np.ndarray) -> list[dict]:
        """[{"label", "precision", "recall", "f1", "support"}] of each class; none without."""
        return []

    def confusion(self, logits: np.ndarray, labels: np.ndarray) -> dict | None:
        """{"labels", "counts" [true][answered]} where an example has one class."""
        return None
