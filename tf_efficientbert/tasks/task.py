"""The base class of all tasks."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import ClassVar

import keras
import numpy as np

from tf_efficientbert.errors import UserError

__all__ = ["TEXT_NAMES", "Task"]

TEXT_NAMES = ("text", "second_text")  # single texts use only the first


@dataclass(frozen=True)
class Task(ABC):
    """A task on single texts or pairs; each subclass is a kind of task.

    Args:
        name: the task's display name.
        labels: the class names, in the order of the outputs; empty without classes.
        pair: whether an example has two texts.
        metrics: names of `scores.METRICS`; the first one selects models. Default: the kind's.

    Raises:
        UserError: the labels or a metric do not fit the kind.
    """

    kind: ClassVar[str]
    known_metrics: ClassVar[tuple[str, ...]]  # the defaults first
    num_default_metrics: ClassVar[int] = 1
    served_as: ClassVar[str]  # the request to a server: classify, regress or answer
    has_classes: ClassVar[bool] = True
    one_of_classes: ClassVar[bool] = False  # exactly one class is correct
    problem_type: ClassVar[str | None] = None  # Hugging Face's name for the kind
    # The head's outputs that contain the prediction.
    output_names: ClassVar[tuple[str, ...]] = ("logits",)
    # Those of a teacher that `distillation_loss` reads.
    distilled_outputs: ClassVar[tuple[str, ...]] = ("logits",)

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
                    f"metric {metric!r} does not fit a {self.kind} task; "
                    f"expected one of {', '.join(self.known_metrics)}"
                )
        self.check_labels()

    def to_dict(self) -> dict:
        """Returns the task as JSON values, which `task_from_dict` reads."""
        return {"kind": self.kind, **asdict(self)}

    @property
    def served_texts(self) -> tuple[str, ...]:
        """The served names of the texts that the task takes."""
        return TEXT_NAMES[: 2 if self.pair else 1]

    @abstractmethod
    def check_labels(self) -> None:
        """Raises UserError if `labels` do not fit the kind."""

    @abstractmethod
    def new_head(self, hidden_size: int, dropout: float, **kwargs) -> keras.layers.Layer:
        """Returns a new head for an encoder of that width; `kwargs` go to the layer."""

    @abstractmethod
    def blank_outputs(self, token_ids) -> dict:
        """Returns zeros shaped like the head's outputs for `token_ids` [batch, tokens]."""

    def blank_labels(self, count: int) -> np.ndarray | None:
        """Returns dummy labels for `count` unlabelled texts, if the distillation loss needs any."""
        return None

    @abstractmethod
    def distillation_loss(
        self, theirs: Mapping, ours: Mapping, batch: Mapping, temperature: float, sum_over_classes
    ):
        """Returns the loss of a student's outputs against its teacher's, one float32 scalar."""

    @property
    @abstractmethod
    def described_outputs(self) -> tuple[str, str]:
        """The served outputs for text and for tokens, in Markdown."""

    @property
    @abstractmethod
    def described_answer(self) -> str:
        """What the task predicts, in a few words."""
