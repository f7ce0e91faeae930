"""A SavedModel signature, and the names that TF Serving uses."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"

# Our input names to those of TensorFlow's BERT models.
SERVED_TOKENS = {
    "token_ids": "input_word_ids",
    "padding_mask": "input_mask",
    "segment_ids": "input_type_ids",
}


@dataclasses.dataclass(frozen=True)
class Signature:
    """A signature of a SavedModel.

    Attributes:
        function: takes tensors; its argument names are the served names.
        inputs: the arguments' specs, in their order.
        method: TF Serving's name of the request type.
    """

    function: Callable[..., dict[str, tf.Tensor]]
    inputs: tuple[tf.TensorSpec, ...]
    method: str = PREDICT
