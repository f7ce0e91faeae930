"""Evaluates the formula of a feed-forward cell on tensors."""

import functools

import keras
from keras import ops

from tf_efficientbert.architecture.expression import Expression
from tf_efficientbert.layers.linear import linear_input


def _swish(x):
    # Not the backend's: TensorFlow's swish has a custom gradient, which fails in nested switches.
    return x * keras.activations.sigmoid(x)


_ACTIVATIONS = {
    "gelu": functools.partial(keras.activations.gelu, approximate=True),
    "sigmoid": keras.activations.sigmoid,
    "tanh": keras.activations.tanh,
    "relu": keras.activations.relu,
    "leaky_relu": functools.partial(keras.activations.leaky_relu, negative_slope=0.01),
    "elu": keras.activations.elu,
    "swish": _swish,
}
_EXACT_GELU = functools.partial(keras.activations.gelu, approximate=False)
_BINARY = {"add": ops.add, "mul": ops.multiply, "max": ops.maximum}
# Padding for the narrower side; for max this is the reference's value, not -infinity.
_PADDING = {"add": 0.0, "mul": 1.0, "max": -1e-10}


def evaluate(expression: Expression, x, linear_maps, channel_mismatch: str, exact_gelu: bool):
    """Evaluates `expression` at `x` (Dong et al. 2021, section 3.1).

    Args:
        expression: formula over `x` with linear maps written `linear(operand,wb1)`.
        x: tensor [..., d].
        linear_maps: {"wb1": (kernel [d, w], bias [w]), "wb2": (kernel [w, d], bias [d])}.
        channel_mismatch: "slice" cuts both sides of a binary operator to the smaller width, "pad"
            pads the narrower side.
        exact_gelu: bool, gelu by the error function instead of the tanh approximation.

    Returns: tensor [..., d].
    """
    name, arguments = expression.name, expression.arguments
    if name == "x":
        return x
    if name == "linear":
        operand, weights = arguments
        kernel, bias = linear_maps[weights.name]
        value = evaluate(operand, x, linear_maps, channel_mismatch, exact_gelu)
        return ops.matmul(linear_input(value), kernel) + bias
    values = [evaluate(a, x, linear_maps, channel_mismatch, exact_gelu) for a in arguments]
    if name in _BINARY:
        return _BINARY[name](*_same_width(*values, channel_mismatch, _PADDING[name]))
    (value,) = values
    activation = _EXACT_GELU if name == "gelu" and exact_gelu else _ACTIVATIONS[name]
    # In float32: 16-bit activations run at half the speed on a CPU, and less exactly.
    return ops.cast(activation(ops.cast(value, "float32")), value.dtype)


def _same_width(a, b, channel_mismatch: str, padding: float):
    widths = a.shape[-1], b.shape[-1]
    if widths[0] == widths[1]:
        return a, b
    if channel_mismatch == "slice":
        return a[..., : min(widths)], b[..., : min(widths)]

    def pad(tensor):
        missing = max(widths) - tensor.shape[-1]
        paddings = [[0, 0]] * (len(tensor.shape) - 1) + [[0, missing]]
        return ops.pad(tensor, paddings, constant_values=padding) if missing else tensor

    return pad(a), pad(b)
