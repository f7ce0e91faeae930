"""What a task is, and the labelled sentences of one of its sets."""

from dataclasses import dataclass

import numpy as np

from tf_efficientbert.errors import UserError

__all__ = ["CLASSIFICATION_METRICS", "REGRESSION_METRICS", "Examples", "Task"]

CLASSIFICATION_METRICS = ("accuracy",)
REGRESSION_METRICS = ("pearson", "spearman")


@dataclass(frozen=True)
class Task:
    """A sentence or sentence-pair task.

    Args:
        name: the task's name as it is shown.
        labels: the class names, in the order of the class indices; empty for regression.
        pair: whether an example is two sentences.
        metrics: the names of the metrics it is scored with, in `metrics.glue`. Default:
            accuracy for classification, Pearson and Spearman correlation for regression.

    Raises:
        UserError: the labels are a single one, or one stands in them twice.
    """

    name: str
    labels: tuple[str, ...]
    pair: bool
    metrics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # The fields are annotated as tuples; a list given here would make the task unhashable.
        object.__setattr__(self, "labels", tuple(self.labels))
        if len(self.labels) == 1 or len(set(self.labels)) < len(self.labels):
            raise UserError(
                f"labels of task {self.name!r} are {list(self.labels)}: "
                "give two or more different labels, or none for regression"
            )
        default = REGRESSION_METRICS if self.is_regression else CLASSIFICATION_METRICS
        object.__setattr__(self, "metrics", tuple(self.metrics) or default)

    @property
    def is_regression(self) -> bool:
        """Whether the label is a number and not a class."""
        return not self.labels

    @property
    def num_outputs(self) -> int:
        """Outputs of the task's head: one per class, or a single one for regression."""
        return len(self.labels) or 1


@dataclass(frozen=True, eq=False)
class Examples:
    """The examples of one set, in file order.

    Args:
        sentences: the (first) sentences.
        second_sentences: the second sentences of a pair task, else None.
        labels: shape [examples]; int32 class indices, or float32 scores for regression; None
            where the set has no labels.

    Raises:
        ValueError: the parts differ in length.
    """

    sentences: tuple[str, ...]
    second_sentences: tuple[str, ...] | None
    labels: np.ndarray | None

    def __post_init__(self) -> None:
        for part in ("second_sentences", "labels"):
            values = getattr(self, part)
            if values is not None and len(values) != len(self.sentences):
                raise ValueError(
                    f"there are {len(self.sentences)} sentences but {len(values)} {part}"
                )

    def __len__(self) -> int:
        return len(self.sentences)

    @property
    def texts(self) -> tuple[tuple[str, ...], ...]:
        """The sentences and, of pairs, the second sentences."""
        parts = (self.sentences, self.second_sentences)
        return tuple(part for part in parts if part is not None)

    def first(self, count: int) -> "Examples":
        """The first `count` examples, or all where there are fewer."""
        parts = (self.sentences, self.second_sentences, self.labels)
        return Examples(*(part if part is None else part[:count] for part in parts))
