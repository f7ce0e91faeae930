"""What every task has."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import ClassVar

import keras
import numpy as np

from tf_efficientbert.errors import UserError

__all__ = ["TEXT_NAMES", "Task"]

TEXT_NAMES = ("text", "second_text")  # of a single text, the first


@dataclass(frozen=True)
class Task(ABC):
    """A task on single texts or on pairs of them; a subclass is a kind of task.

    Args:
        name: the task's name as it is shown.
        labels: the class names, in the order of the outputs; none where there are no classes.
        pair: whether an example has two texts.
        metrics: names of `scores.METRICS`; the first one selects. Default: the kind's.

    Raises:
        UserError: the labels do not go with the kind, or a metric does not.
    """

    kind: ClassVar[str]
    known_metrics: ClassVar[tuple[str, ...]]  # the defaults first
    num_default_metrics: ClassVar[int] = 1
    served_as: ClassVar[str]  # classify, regress or answer: what a server is asked for
    has_classes: ClassVar[bool] = True
    one_of_classes: ClassVar[bool] = False  # of its classes just one is right
    problem_type: ClassVar[str | None] = None  # Hugging Face's word for the kind
    # The head's outputs that are the answer.
    output_names: ClassVar[tuple[str, ...]] = ("logits",)

    name: str
    labels: tuple[str, ...]
    pair: bool
    metrics: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        # The fields are annotated as tuples; a list given here would make the task unhashable.
        object.__setattr__(self, "labels", tuple(self.labels))
        default = self.known_metrics[: self.num_default_metrics]
        object.__setattr__(self, "metrics", tuple(self.metrics) or default)
        for metric in self.metrics:
            if metric not in self.known_metrics:
                raise UserError(
                    f"metric {metric!r} does not go with {self.kind}; "
                    f"known are {', '.join(self.known_metrics)}"
                )
        self.check_labels()

    def to_dict(self) -> dict:
        """What `task_from_dict` reads, for JSON."""
        return {"kind": self.kind, **asdict(self)}

    @property
    def served_texts(self) -> tuple[str, ...]:
        """The served names of the texts that the task takes."""
        return TEXT_NAMES[: 2 if self.pair else 1]

    @abstractmethod
    def check_labels(self) -> None:
        """Raises UserError where `labels` do not go with the kind."""

    @abstractmethod
    def new_head(self, hidden_size: int, dropout: float, **kwargs) -> keras.layers.Layer:
        """A fresh head on an encoder of that width; `kwargs` go to the layer."""

    @abstractmethod
    def blank_outputs(self, token_ids) -> dict:
        """Zeros of the shape of the head's outputs on a batch of `token_ids` [batch, tokens]."""

    def blank_labels(self, count: int) -> np.ndarray | None:
        """Labels of `count` texts without any, where the distillation loss reads labels."""
        return None

    @abstractmethod
    def distillation_loss(
        self, theirs: Mapping, ours: Mapping, batch: Mapping, temperature: float, sum_over_classes
    ):
        """The loss of a student's outputs against its teacher's, one float32 scalar."""

    @property
    @abstractmethod
    def described_outputs(self) -> tuple[str, str]:
        """The served outputs for text and for tokens, in Markdown."""

    @property
    @abstractmethod
    def described_answer(self) -> str:
        """What the task answers with, in a few words."""
