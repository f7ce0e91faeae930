"""A task with its sets of examples, wherever they come from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tf_efficientbert.data.examples import Examples
from tf_efficientbert.tasks import LabelledTask

__all__ = ["TaskSets"]


@dataclass(frozen=True, eq=False)
class TaskSets:
    """A task and what its examples are read by.

    Attributes:
        readers: split -> function that reads it.
        columns: role -> column, of what comes from the user's files.
        left_out: of each row that was skipped, see `card.describe`.
        notes: sentences for the user about what was understood.
        has_own_test: whether "test" has labels.
    """

    task: LabelledTask
    readers: Mapping[str, Callable[[], Examples]]
    columns: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[dict, ...] = ()
    notes: tuple[str, ...] = ()
    has_own_test: bool = False
