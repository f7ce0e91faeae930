"""The layers in float64 numpy, as references for the library's."""

import math

import numpy as np

_erf = np.vectorize(math.erf, otypes=[float])


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu_exact(x):
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def layer_norm(x, scale, offset, epsilon):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon) * scale + offset


def attend(x, padding_mask, query, key, value, output, num_heads):
    """Self-attention without dropout and residual; projections are (kernel [in, out], bias).

    Returns the projected context and the biased scores before softmax.
    """
    batch, tokens, width = x.shape

    def heads(weights):
        split = (x @ weights[0] + weights[1]).reshape(batch, tokens, num_heads, -1)
        return split.swapaxes(1, 2)

    scores = heads(query) @ heads(key).swapaxes(2, 3) / math.sqrt(width // num_heads)
    scores = scores - 10_000.0 * (1 - np.asarray(padding_mask, float))[:, None, None, :]
    context = (softmax(scores) @ heads(value)).swapaxes(1, 2).reshape(batch, tokens, width)
    return context @ output[0] + output[1], scores


def evaluate_formula(text, x, wb1, wb2, channel_mismatch, gelu=gelu_tanh):
    """Evaluates a formula in its text form with Python's eval."""

    def binary(operator, filling):
        def apply(a, b):
            widths = a.shape[-1], b.shape[-1]
            if channel_mismatch == "slice":
                return operator(a[..., : min(widths)], b[..., : min(widths)])
            full = [np.full((*side.shape[:-1], max(widths)), filling) for side in (a, b)]
            for whole, side in zip(full, (a, b), strict=True):
                whole[..., : side.shape[-1]] = side
            return operator(*full)

        return apply

    names = {
        "x": x,
        "wb1": wb1,
        "wb2": wb2,
        "linear": lambda operand, weights: operand @ weights[0] + weights[1],
        "add": binary(np.add, 0.0),
        "mul": binary(np.multiply, 1.0),
        "max": binary(np.maximum, -1e-10),
        "gelu": gelu,
        "sigmoid": sigmoid,
        "tanh": np.tanh,
        "relu": lambda a: np.where(a > 0, a, 0.0),
        "leaky_relu": lambda a: np.where(a > 0, a, 0.01 * a),
        "elu": lambda a: np.where(a > 0, a, np.expm1(np.minimum(a, 0.0))),
        "swish": lambda a: a * sigmoid(a),
    }
    return eval(text, {"__builtins__": {}}, names)


def value_of(weight):
    """A Keras variable or tensor as float64."""
    return np.asarray(weight, dtype=np.float64)


def weights_of(dense):
    """(kernel, bias) of a Dense layer."""
    return value_of(dense.kernel), value_of(dense.bias)
