"""The networks: backbone, heads and teachers; saving and loading them."""

from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.models.reference_weights import load_reference_weights
from tf_efficientbert.models.task_model import TaskModel
from tf_efficientbert.models.teacher import load_teacher
from tf_efficientbert.models.text_model import TextModel, load
from tf_efficientbert.tasks import ClassificationHead, Prediction, SpanHead

__all__ = [
    "ClassificationHead",
    "EfficientBert",
    "Prediction",
    "SpanHead",
    "TaskModel",
    "TextModel",
    "load",
    "load_reference_weights",
    "load_teacher",
]
