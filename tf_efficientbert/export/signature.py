"""One thing that a server can be asked, and the names it goes by."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"

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
