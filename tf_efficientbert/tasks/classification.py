"""Tasks with one class per example."""

import unicodedata
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from keras import ops

from tf_efficientbert.errors import UserError
from tf_efficientbert.tasks.labelled_task import (
    WHOLE_NUMBER,
    LabelledTask,
    Prediction,
    sorted_labels,
)
from tf_efficientbert.tasks.pooled_head import ClassificationHead
from tf_efficientbert.tasks.scores import per_class_counts, precision_recall_f1

__all__ = ["Classification", "prediction_loss"]

MOST_NUMBERED_CLASSES = 100  # more distinct whole numbers are values, not class names
# Control characters, line and paragraph separators, unpaired surrogates: files of labels have one
# label per line. Joiners, which Persian words and emoji need, are allowed.
_UNWRITABLE = {"Cc", "Zl", "Zp", "Cs"}
_MOST = 0.9  # share of the rows from which the others count as faulty
_LIKELY_TEXT = 0.5  # share of distinct values above which a column does not look like labels
_FEW_ROWS = 20
_LEAST_PROBABILITY = 1e-8  # avoids log(0)


def prediction_loss(
    teacher_logits, student_logits, temperature: float = 1.0, sum_over_classes: bool = False
):
    """Soft cross-entropy -softmax(teacher/T) log softmax(student/T), both [batch, classes].

    The mean runs over every element, classes included, as in the reference; with
    `sum_over_classes` it is the usual cross-entropy, larger by the number of classes.
    """
    target = ops.softmax(ops.cast(teacher_logits, "float32") / temperature)
    log_probability = ops.log_softmax(ops.cast(student_logits, "float32") / temperature)
    loss = -ops.mean(target * log_probability)
    return loss * student_logits.shape[-1] if sum_over_classes else loss


def label_name(value: object) -> str:
    """Returns the class name for a label in a file: numbers as integers, text trimmed.

    Raises:
        ValueError: the label is missing or invalid as a name.
    """
    if value is None or (isinstance(value, float) and value != value):
        raise ValueError("the label is missing")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        if isinstance(value, float) and not value.is_integer():
            raise ValueError(f"label {value!r} is neither text nor a whole number")
        return str(int(value))
    if not isinstance(value, str):
        raise ValueError(f"label {value!r} is neither text nor a whole number")
    name = value.strip()
    if not name:
        raise ValueError("the label is missing")
    if any(unicodedata.category(character) in _UNWRITABLE for character in name):
        raise ValueError(f"label {value!r} holds a line break or another control character")
    return name.split(".")[0] if WHOLE_NUMBER.fullmatch(name) else name


def check_class_names(task: LabelledTask) -> None:
    """Raises UserError if the task has fewer than two labels or a label is repeated."""
    if len(task.labels) < 2 or len(set(task.labels)) < len(task.labels):
        raise UserError(
            f"labels of task {task.name!r} are {list(task.labels)}: "
            "give two or more different labels, or none for regression"
        )


@dataclass(frozen=True)
class Classification(LabelledTask):
    """Each example has one of two or more classes; a target is the class's index."""

    kind: ClassVar[str] = "classification"
    known_metrics: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1", "f1", "matthews")
    one_of_classes: ClassVar[bool] = True
    served_as: ClassVar[str] = "classify"
    problem_type: ClassVar[str | None] = "single_label_classification"

    def check_labels(self) -> None:
        check_class_names(self)
        if "f1" in self.metrics and len(self.labels) > 2:
            raise UserError(
                f"metric 'f1' needs two classes, but there are {len(self.labels)}; use macro_f1"
            )

    @classmethod
    def recognizes(cls, values: Sequence[object]) -> bool:
        return True  # the fallback, after all other kinds

    @classmethod
    def implausible(cls, values: Sequence[object]) -> str | None:
        distinct = len({str(value) for value in values})
        if len(values) < _FEW_ROWS or distinct <= _LIKELY_TEXT * len(values):
            return None
        return f"{distinct} different values in {len(values)} rows, such as {values[0]!r}"

    @classmethod
    def names_in(cls, value: object, separator: str) -> list[str]:
        return [label_name(value)]

    @classmethod
    def labels_of(cls, names: Collection[str]) -> tuple[str, ...]:
        numbers = [name for name in names if WHOLE_NUMBER.fullmatch(name)]
        # A word among numbers, such as "nan", is an error, not a class.
        return sorted_labels(numbers if len(numbers) >= _MOST * len(names) else names)

    def kept_label(self, value: object, left_out: Collection[str]) -> object | None:
        try:
            return None if label_name(value) in left_out else value
        except ValueError:  # `target` raises it with a message
            return value

    def target(self, value: object) -> int:
        name = label_name(value)
        if name not in self.labels:
            raise ValueError(f"label {value!r} is not one of {_listed(self.labels)}")
        return self.labels.index(name)

    def targets(self, targets: Sequence) -> np.ndarray:
        return np.array(targets, np.int32)

    def shown(self, target: int) -> str:
        return self.labels[target]

    def strata(self, targets: np.ndarray) -> Sequence[Hashable]:
        return targets.tolist()

    def unlearnable(self, targets: np.ndarray) -> str | None:
        found = np.unique(targets)
        if len(found) > 1:
            return None
        return f"all {len(targets)} training examples have the label {self.labels[found[0]]!r}"

    def new_head(self, hidden_size: int, dropout: float, **kwargs) -> ClassificationHead:
        return ClassificationHead(hidden_size, len(self.labels), dropout, **kwargs)

    def blank_outputs(self, token_ids) -> dict:
        return {"logits": ops.zeros((ops.shape(token_ids)[0], len(self.labels)))}

    def class_weights(self, targets: np.ndarray) -> np.ndarray | None:
        counts = np.bincount(targets, minlength=len(self.labels))
        occurs = counts > 0
        weights = len(targets) / (occurs.sum() * np.maximum(counts, 1))
        return np.where(occurs, weights, 0.0).astype(np.float32)

    def label_loss(self, labels, outputs: Mapping, class_weights: np.ndarray | None = None):
        losses = ops.sparse_categorical_crossentropy(labels, outputs["logits"], from_logits=True)
        if class_weights is not None:
            losses = losses * ops.take(class_weights, labels)
        return ops.mean(losses)

    def distillation_loss(self, theirs, ours, batch, temperature, sum_over_classes):
        return prediction_loss(theirs["logits"], ours["logits"], temperature, sum_over_classes)

    def held_out_loss(self, logits: np.ndarray, labels: np.ndarray) -> float:
        logits = logits.astype(np.float64)
        shifted = logits - logits.max(axis=-1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        return float(-log_probabilities[np.arange(len(labels)), labels].mean())

    def answers(self, logits: np.ndarray) -> np.ndarray:
        return logits.argmax(axis=-1)

    def same_answers(self, logits: np.ndarray, others: np.ndarray) -> np.ndarray | None:
        return self.answers(logits) == self.answers(others)

    def decode(self, logits: np.ndarray) -> list[Prediction]:
        probabilities = np.asarray(self.probabilities(logits))
        best = probabilities.argmax(axis=-1)
        return [
            Prediction(self.labels[i], float(p[i]))
            for i, p in zip(best, probabilities, strict=True)
        ]

    def probabilities(self, logits):
        return ops.softmax(logits)

    def teacher_logits(self, probabilities: np.ndarray) -> np.ndarray | None:
        return np.log(np.maximum(probabilities, _LEAST_PROBABILITY)).astype(np.float32)

    def served_outputs(self, logits) -> dict:
        import tensorflow as tf  # keras.ops has no strings

        labels = tf.gather(tf.constant(self.labels), tf.argmax(logits, axis=-1))
        return {"logits": logits, "probabilities": self.probabilities(logits), "label": labels}

    @property
    def described_outputs(self) -> tuple[str, str]:
        return ("`logits`, `probabilities` [batch, classes], `label` [batch]",) * 2

    @property
    def described_answer(self) -> str:
        return f"one of {len(self.labels)} classes"

    def per_class(self, logits: np.ndarray, labels: np.ndarray) -> list[dict]:
        return described_classes(self, self.answers(logits), labels)

    def confusion(self, logits: np.ndarray, labels: np.ndarray) -> dict | None:
        counts = np.zeros((len(self.labels),) * 2, int)
        np.add.at(counts, (labels, self.answers(logits)), 1)
        return {"labels": list(self.labels), "counts": counts.tolist()}


def described_classes(task: LabelledTask, answers: np.ndarray, labels: np.ndarray) -> list[dict]:
    """See `LabelledTask.per_class`."""
    counts = per_class_counts(answers, labels, len(task.labels))
    figures = precision_recall_f1(counts)
    return [
        {
            "label": label,
            **dict(zip(("precision", "recall", "f1"), map(float, row), strict=True)),
            "support": int(support),
        }
        for label, row, support in zip(task.labels, figures, counts[:, 2], strict=True)
    ]


def _listed(labels: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(map(repr, labels[:most]))
    return shown if len(labels) <= most else f"{shown} and {len(labels) - most} more"
