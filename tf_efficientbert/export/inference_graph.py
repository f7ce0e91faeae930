"""A trained model's forward pass as a graph optimized for inference.

It computes the same logits as the Keras model, from the same weights, with fewer operations:

- The last layer is computed for [CLS] only, the one token the head reads. Its key and value
  projections are absorbed: q (x Wk)^T is (q Wk^T) x^T, and p (x Wv) is (p x) Wv.
- LayerNorm is written out as the mean, the mean of centred squares and rsqrt.
- The score scale is folded into the query weights. The key bias is dropped, because it shifts all
  scores of a query equally. The value bias is folded into the output bias, because probabilities
  sum to one.
- Position and segment embeddings come from one table.
"""

import numpy as np
import tensorflow as tf

from tf_efficientbert.errors import UserError
from tf_efficientbert.export.inference_layers import (
    AbsorbedAttention,
    Cell,
    Dense,
    Head,
    LayerNorm,
    constant,
    kernel_and_bias,
    output_with_value_bias,
    scaled_query,
    with_neighbours,
)
from tf_efficientbert.layers.self_attention import MASKED_SCORE, SelfAttention
from tf_efficientbert.layers.trigram_embedding import TrigramEmbedding
from tf_efficientbert.models.task_model import TaskModel


class InferenceGraph(tf.Module):
    """Logits of one text, for classification or regression.

    Args:
        model: TaskModel in float32.
        longest: int, the largest number of tokens.
        masked_score: float, added to the attention scores of padding. Static quantization needs a
            value that fits into the same eight-bit range as the scores.
        table_bits: None, 8 or 5: about how many bits per number the graph stores embedding tables
            in. It does so itself because ai-edge-quantizer leaves tables in float.

    Raises:
        UserError: `model` has another head, such as spans, or fewer positions than `longest`.
    """

    def __init__(
        self,
        model: TaskModel,
        longest: int,
        masked_score: float = MASKED_SCORE,
        table_bits: int | None = None,
    ):
        super().__init__()
        self._head = Head(model)
        backbone = model.backbone
        if longest > backbone.max_positions:
            raise UserError(
                f"{longest} tokens are more than the model's {backbone.max_positions} positions"
            )
        self._masked_score = masked_score
        self._embedding = _Embedding(backbone.embedding, longest, table_bits)
        attentions = [_Attention(layer) for layer in backbone.attentions[:-1]]
        self._attentions = [*attentions, _FirstTokenAttention(backbone.attentions[-1])]
        self._cells = [Cell(cell) for cell in backbone.cells]

    def __call__(self, token_ids, segment_ids, padding_mask):
        """int32 tensors [1, tokens] to logits [1, classes], or [1] for one output."""
        bias = (1.0 - tf.cast(padding_mask, tf.float32))[:, None, :] * self._masked_score
        x = self._embedding(token_ids, segment_ids)
        for attention, cell in zip(self._attentions, self._cells, strict=True):
            x = cell(attention(x, bias))
        return self._head(x[:, 0])


class _Table(tf.Module):
    """A float32 table; looks up rows by index."""

    def __init__(self, rows):
        super().__init__()
        self._rows = constant(rows)

    def __call__(self, numbers):
        return tf.gather(self._rows, numbers)


class _Int8Table(tf.Module):
    """A table in eight bits with a scale per row."""

    def __init__(self, rows):
        super().__init__()
        integers, scales = _quantized(rows, largest=127)
        self._integers, self._scales = tf.Variable(integers), constant(scales)

    def __call__(self, numbers):
        integers = tf.gather(self._integers, numbers)
        return tf.cast(integers, tf.float32) * tf.gather(self._scales, numbers)


class _PackedTable(tf.Module):
    """A table in 5.3 bits: three numbers from -19 to 19 are the digits of one int16.

    Four bits cost a token table more accuracy than dense layers.
    """

    _LARGEST, _RADIX = 19, 39

    def __init__(self, rows):
        super().__init__()
        self._width = rows.shape[-1]
        integers, scales = _quantized(rows, self._LARGEST)
        integers = np.pad(integers.astype(np.int16), [(0, 0), (0, -self._width % 3)])
        high, middle, low = np.split(integers, 3, axis=-1)
        self._digits = tf.Variable((high * self._RADIX + middle) * self._RADIX + low)
        self._scales = constant(scales)

    def __call__(self, numbers):
        rest, digits = tf.cast(tf.gather(self._digits, numbers), tf.float32), []
        for place in (self._RADIX**2, self._RADIX):
            digit = tf.floor(rest * (1 / place) + 0.5)
            rest -= place * digit
            digits.append(digit)
        integers = tf.concat([*digits, rest], axis=-1)[..., : self._width]
        return integers * tf.gather(self._scales, numbers)


class _Embedding(tf.Module):
    def __init__(self, layer, longest: int, table_bits: int | None):
        super().__init__()
        self._tokens = lookup_table(layer.token_table, table_bits)
        positions = layer.position_table.numpy()[:longest]
        segments = layer.segment_table.numpy()
        self._rows = len(positions)
        places = np.concatenate([positions + segment for segment in segments])
        self._places = lookup_table(places, table_bits)
        self._layer_norm = LayerNorm(layer.layer_norm)
        self._projection = None
        if isinstance(layer, TrigramEmbedding):
            self._projection = Dense(*kernel_and_bias(layer.projection))

    def __call__(self, token_ids, segment_ids):
        x = self._tokens(token_ids)
        if self._projection:
            x = self._projection(with_neighbours(x))
        places = tf.range(token_ids.shape[1])[None] + segment_ids * self._rows
        return self._layer_norm(x + self._places(places))


class _Attention(tf.Module):
    """x [1, tokens, d] to the block's output, of the same shape."""

    def __init__(self, layer: SelfAttention):
        super().__init__()
        self._heads, self._head_size = layer.num_heads, layer.head_size
        self._query = Dense(*scaled_query(layer))
        self._key = Dense(layer.key.kernel)
        self._value = Dense(layer.value.kernel)
        self._output = Dense(*output_with_value_bias(layer))
        self._layer_norm = LayerNorm(layer.layer_norm)

    def __call__(self, x, bias):
        query, key, value = (self._split(f(x)) for f in (self._query, self._key, self._value))
        scores = tf.matmul(query, key, transpose_b=True) + bias[:, None]
        context = tf.matmul(tf.nn.softmax(scores), value)
        context = tf.reshape(tf.transpose(context, (0, 2, 1, 3)), x.shape)
        return self._layer_norm(x + self._output(context))

    def _split(self, x):
        shape = 1, x.shape[1], self._heads, self._head_size
        return tf.transpose(tf.reshape(x, shape), (0, 2, 1, 3))


class _FirstTokenAttention(AbsorbedAttention):
    """x [1, tokens, d] to the block's output for the first token, [1, 1, d]."""

    def __call__(self, x, bias):
        heads, size, width = self._heads, self._head_size, x.shape[-1]
        first = x[:, :1]
        # Rank 3, because LiteRT treats products of rank 2 as dense layers with changing weights.
        query = tf.reshape(self._query(first), (heads, 1, size))
        query = tf.reshape(tf.matmul(query, self._key_transposed), (1, heads, width))
        probabilities = tf.nn.softmax(tf.matmul(query, x, transpose_b=True) + bias)
        context = tf.reshape(tf.matmul(probabilities, x), (heads, 1, width))
        context = tf.reshape(tf.matmul(context, self._value), (1, 1, heads * size))
        return self._layer_norm(first + self._output(context))


def lookup_table(rows, bits: int | None) -> tf.Module:
    """Returns a module from int32 row numbers to float32 rows.

    Args:
        rows: [rows, width].
        bits: see `table_bits` of `InferenceGraph`.
    """
    return {None: _Table, 8: _Int8Table, 5: _PackedTable}[bits](np.asarray(rows, np.float32))


def _quantized(rows: np.ndarray, largest: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns int8 integers from -largest to largest, and each row's scale [rows, 1]."""
    scales = np.abs(rows).max(axis=-1, keepdims=True) / largest
    integers = np.rint(rows / np.where(scales == 0, 1, scales))
    return integers.astype(np.int8), scales
