"""A task with its sets of examples, from any source."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tf_efficientbert.data.examples import Examples
from tf_efficientbert.tasks import LabelledTask

__all__ = ["TaskSets"]


@dataclass(frozen=True, eq=False)
class TaskSets:
    """A task and the functions that read its examples.

    Attributes:
        readers: split -> function that reads it.
        columns: role -> column, for the user's files.
        left_out: the skipped rows, see `card.describe`.
        notes: sentences for the user on how the data was read.
        has_own_test: whether "test" has labels.
    """

    task: LabelledTask
    readers: Mapping[str, Callable[[], Examples]]
    columns: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[dict, ...] = ()
    notes: tuple[str, ...] = ()
    has_own_test: bool = False
