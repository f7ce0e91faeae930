"""Linear maps whose inputs can be rounded during training."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator

import keras

_rounding: contextvars.ContextVar[Callable | None] = contextvars.ContextVar(
    "rounding", default=None
)


@contextlib.contextmanager
def rounded_inputs(rounding: Callable) -> Iterator[None]:
    """Within the block, every linear map uses `rounding(x)` in place of its input x [..., d]."""
    token = _rounding.set(rounding)
    try:
        yield
    finally:
        _rounding.reset(token)


def linear_input(x):
    """Returns the input `x` of a linear map, rounded within `rounded_inputs`."""
    rounding = _rounding.get()
    return x if rounding is None else rounding(x)


@keras.saving.register_keras_serializable(package="tf_efficientbert")
class Linear(keras.layers.Dense):
    """x @ kernel + bias on the last axis; takes the arguments of Keras' Dense."""

    def call(self, inputs, training=None):
        return super().call(linear_input(inputs), training=training)
