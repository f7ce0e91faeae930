"""The network's linear maps, whose inputs a training may round."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator

import keras

_rounding: contextvars.ContextVar[Callable | None] = contextvars.ContextVar(
    "rounding", default=None
)


@contextlib.contextmanager
def rounded_inputs(rounding: Callable) -> Iterator[None]:
    """Within it every linear map computes with `rounding(x)` instead of its input x [..., d]."""
    token = _rounding.set(rounding)
    try:
        yield
    finally:
        _rounding.reset(token)


def linear_input(x):
    """What a linear map takes for its input `x`."""
    rounding = _rounding.get()
    return x if rounding is None else rounding(x)


@keras.saving.register_keras_serializable(package="tf_efficientbert")
class Linear(keras.layers.Dense):
    """x @ kernel + bias on the last axis; arguments as Keras' Dense, without an activation."""

    def call(self, inputs, training=None):
        return super().call(linear_input(inputs), training=training)
