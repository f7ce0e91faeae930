"""One thing that a server can be asked, and the names it goes by."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from tf_efficientbert.models.heads import SpanHead
from tf_efficientbert.models.task_model import TaskModel
from tf_efficientbert.models.text_model import TextModel

PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"

PAIR_NAMES = ("sentences", "second_sentences")  # of one text, the first
# Ours by the names that TensorFlow's BERTs are served with.
SERVED_TOKENS = {
    "token_ids": "input_word_ids",
    "padding_mask": "input_mask",
    "segment_ids": "input_type_ids",
}


@dataclasses.dataclass(frozen=True)
class Signature:
    """One thing a server can be asked.

    Attributes:
        function: of tensors; the names of its arguments are the served names.
        inputs: the arguments' specs, in their order.
        method: TF Serving's name for the kind of request that it answers.
    """

    function: Callable[..., dict[str, tf.Tensor]]
    inputs: tuple[tf.TensorSpec, ...]
    method: str = PREDICT


def answers_questions(model: TextModel) -> bool:
    """Whether the network has a SpanHead."""
    return isinstance(model.model, TaskModel) and isinstance(model.model.head, SpanHead)


def text_names(model: TextModel) -> tuple[str, ...]:
    """The served names of the texts that the model takes."""
    if answers_questions(model):
        return ("question", "context")
    return PAIR_NAMES[: 2 if model.task.pair else 1]
