"""Building blocks of the inference graphs: Keras weights, rearranged for fewer operations.

LayerNorm is written out as the mean, the mean of centred squares and rsqrt. The score scale is
folded into the query weights, the value bias into the output bias.
"""

import numpy as np
import tensorflow as tf

from tf_efficientbert.errors import UserError
from tf_efficientbert.layers.feed_forward_cell import FeedForwardCell
from tf_efficientbert.layers.formula import evaluate
from tf_efficientbert.layers.self_attention import SelfAttention

__all__ = [
    "AbsorbedAttention",
    "Cell",
    "Dense",
    "Head",
    "LayerNorm",
    "constant",
    "kernel_and_bias",
    "output_with_value_bias",
    "scaled_query",
    "with_neighbours",
]


class Dense(tf.Module):
    """x @ kernel + bias, [..., in] to [..., out]."""

    def __init__(self, kernel, bias=None):
        super().__init__()
        self._kernel = constant(kernel)
        self._bias = None if bias is None else constant(bias)

    def __call__(self, x):
        y = tf.matmul(x, self._kernel)
        return y if self._bias is None else y + self._bias


class LayerNorm(tf.Module):
    """A Keras LayerNormalization over the last axis."""

    def __init__(self, layer):
        super().__init__()
        self._gamma, self._beta = constant(layer.gamma), constant(layer.beta)
        self._epsilon = layer.epsilon

    def __call__(self, x):
        # Centred before squaring: mean of squares minus squared mean would lose digits.
        x -= tf.reduce_mean(x, axis=-1, keepdims=True)
        variance = tf.reduce_mean(x * x, axis=-1, keepdims=True)
        return x * tf.math.rsqrt(variance + self._epsilon) * self._gamma + self._beta


class Cell(tf.Module):
    """The stacked feed-forward networks of a layer."""

    def __init__(self, layer: FeedForwardCell):
        super().__init__()
        self._formula = layer.cell.formula
        self._channel_mismatch, self._exact_gelu = layer.channel_mismatch, layer.exact_gelu
        self._linear_maps = [
            {
                "wb1": (constant(ffn.kernel_1), constant(ffn.bias_1)),
                "wb2": (constant(ffn.kernel_2), constant(ffn.bias_2)),
            }
            for ffn in layer.feed_forwards
        ]
        self._layer_norms = [LayerNorm(ffn.layer_norm) for ffn in layer.feed_forwards]

    def __call__(self, x):
        for maps, layer_norm in zip(self._linear_maps, self._layer_norms, strict=True):
            update = evaluate(self._formula, x, maps, self._channel_mismatch, self._exact_gelu)
            x = layer_norm(x + update)
        return x


class Head(tf.Module):
    """First tokens' states [batch, d] to logits [batch, classes], or [batch] for one output.

    Args:
        model: TaskModel.

    Raises:
        UserError: the model has no head, or one that reads other tokens too.
    """

    def __init__(self, model):
        super().__init__()
        head = getattr(model, "head", None)  # a supernet has none
        if head is None or not head.reads_first_token:
            raise UserError("the inference graph needs a model whose head reads only [CLS]")
        self._pooler = Dense(*kernel_and_bias(head.pooler))
        self._classifier = Dense(*kernel_and_bias(head.classifier))
        self._squeezed = head.squeezed

    def __call__(self, first):
        return self._squeezed(self._classifier(tf.tanh(self._pooler(first))))


class AbsorbedAttention(tf.Module):
    """The weights of an attention that is computed for the first token only.

    Its key and value projections are absorbed: q (x Wk)^T is (q Wk^T) x^T and p (x Wv) is (p x) Wv.
    """

    def __init__(self, layer: SelfAttention):
        super().__init__()
        heads, size, width = layer.num_heads, layer.head_size, layer.hidden_size
        self._heads, self._head_size = heads, size
        self._query = Dense(*scaled_query(layer))
        key = layer.key.kernel.numpy().reshape(width, heads, size)
        value = layer.value.kernel.numpy().reshape(width, heads, size)
        self._key_transposed = constant(key.transpose(1, 2, 0))  # [heads, size, width]
        self._value = constant(value.transpose(1, 0, 2))  # [heads, width, size]
        self._output = Dense(*output_with_value_bias(layer))
        self._layer_norm = LayerNorm(layer.layer_norm)


def with_neighbours(x):
    """[batch, tokens, E] to [batch, tokens, 3E]: following, own and preceding embedding."""
    following = tf.pad(x[:, 1:], [[0, 0], [0, 1], [0, 0]])
    preceding = tf.pad(x[:, :-1], [[0, 0], [1, 0], [0, 0]])
    return tf.concat([following, x, preceding], axis=-1)


def constant(weight) -> tf.Variable:
    """Returns a weight as an untrainable float32 variable."""
    # With weights as graph constants, a large model's graph takes 20 GB.
    return tf.Variable(np.asarray(weight, np.float32), trainable=False)


def kernel_and_bias(layer) -> tuple[np.ndarray, np.ndarray]:
    """Returns the kernel and bias of a Keras Dense layer."""
    return layer.kernel.numpy(), layer.bias.numpy()


def scaled_query(layer: SelfAttention) -> tuple[np.ndarray, np.ndarray]:
    """Returns the query's kernel and bias times the score scale."""
    kernel, bias = kernel_and_bias(layer.query)
    scale = layer.head_size**-0.5
    return kernel * scale, bias * scale


def output_with_value_bias(layer: SelfAttention) -> tuple[np.ndarray, np.ndarray]:
    """Returns the output projection's kernel, and its bias with the value bias folded in.

    Folding is exact because attention probabilities sum to one.
    """
    kernel, bias = kernel_and_bias(layer.output_projection)
    # einsum instead of BLAS, whose last digits depend on its number of threads.
    return kernel, bias + np.einsum("i,ij->j", layer.value.bias.numpy(), kernel)
