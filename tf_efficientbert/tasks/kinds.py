"""The kinds of task there are."""

from collections.abc import Sequence

from tf_efficientbert.tasks.classification import Classification
from tf_efficientbert.tasks.labelled_task import LabelledTask
from tf_efficientbert.tasks.multilabel import MultiLabel
from tf_efficientbert.tasks.regression import Regression
from tf_efficientbert.tasks.span import Span
from tf_efficientbert.tasks.task import Task

__all__ = ["KINDS", "LABELLED_KINDS", "recognized_kind", "task_from_dict"]

# Labels of a file are of the first of them that recognizes them.
LABELLED_KINDS: dict[str, type[LabelledTask]] = {
    kind.kind: kind for kind in (MultiLabel, Regression, Classification)
}
KINDS: dict[str, type[Task]] = {**LABELLED_KINDS, Span.kind: Span}


def recognized_kind(values: Sequence[object], with_classes: bool = False) -> type[LabelledTask]:
    """The kind of task that these labels are most likely of.

    Args:
        with_classes: whether it must be one that has classes.
    """
    kinds = [kind for kind in LABELLED_KINDS.values() if kind.has_classes or not with_classes]
    return next(kind for kind in kinds if kind.recognizes(values))


def task_from_dict(described: dict) -> Task:
    """The task that `Task.to_dict` described.

    Raises:
        KeyError, TypeError, UserError: it describes none.
    """
    values = dict(described)
    # Models of before there were kinds say none.
    by_labels = Classification.kind if values.get("labels") else Regression.kind
    kind = KINDS[values.pop("kind", by_labels)]
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
