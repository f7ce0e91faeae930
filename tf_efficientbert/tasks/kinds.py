"""The registry of task kinds."""

from collections.abc import Sequence

from tf_efficientbert.tasks.classification import Classification
from tf_efficientbert.tasks.labelled_task import LabelledTask
from tf_efficientbert.tasks.multilabel import MultiLabel
from tf_efficientbert.tasks.regression import Regression
from tf_efficientbert.tasks.span import Span
from tf_efficientbert.tasks.task import Task

__all__ = ["KINDS", "LABELLED_KINDS", "recognized_kind", "task_from_dict"]

# In order of precedence: a file's labels belong to the first kind that recognizes them.
LABELLED_KINDS: dict[str, type[LabelledTask]] = {
    kind.kind: kind for kind in (MultiLabel, Regression, Classification)
}
KINDS: dict[str, type[Task]] = {**LABELLED_KINDS, Span.kind: Span}


def recognized_kind(values: Sequence[object], with_classes: bool = False) -> type[LabelledTask]:
    """Returns the most likely kind of task for these labels.

    Args:
        with_classes: whether the kind must have classes.
    """
    kinds = [kind for kind in LABELLED_KINDS.values() if kind.has_classes or not with_classes]
    return next(kind for kind in kinds if kind.recognizes(values))


def task_from_dict(described: dict) -> Task:
    """Returns the task that `Task.to_dict` described.

    Raises:
        KeyError, TypeError, UserError: the description is invalid.
    """
    values = dict(described)
    # Older models have no "kind".
    by_labels = Classification.kind if values.get("labels") else Regression.kind
    kind = KINDS[values.pop("kind", by_labels)]
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
