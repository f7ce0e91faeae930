"""The kinds of task, one per file: everything that depends on a model's kind of output."""

from tf_efficientbert.tasks.classification import Classification
from tf_efficientbert.tasks.kinds import KINDS, LABELLED_KINDS, recognized_kind, task_from_dict
from tf_efficientbert.tasks.labelled_task import LabelledTask, Prediction
from tf_efficientbert.tasks.multilabel import SEPARATOR, MultiLabel
from tf_efficientbert.tasks.pooled_head import ClassificationHead
from tf_efficientbert.tasks.regression import Regression
from tf_efficientbert.tasks.scores import METRICS
from tf_efficientbert.tasks.span import Span
from tf_efficientbert.tasks.span_head import SpanHead
from tf_efficientbert.tasks.task import Task

__all__ = [
    "KINDS",
    "LABELLED_KINDS",
    "METRICS",
    "SEPARATOR",
    "Classification",
    "ClassificationHead",
    "LabelledTask",
    "MultiLabel",
    "Prediction",
    "Regression",
    "Span",
    "SpanHead",
    "Task",
    "recognized_kind",
    "task_from_dict",
]
