"""A trained model's forward pass for a server, without dense computation on padding.

Texts of a batch differ in length, and a bucket is mostly padding. The graph packs the real tokens
into [real tokens, d] and runs every dense layer on these only. It computes the last layer for [CLS]
only, the one token that the head reads. The logits equal the Keras model's, except for rows without
a real token, whose logits mean nothing.
"""

import tensorflow as tf

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
from tf_efficientbert.layers.self_attention import SelfAttention, attention_bias
from tf_efficientbert.layers.trigram_embedding import TrigramEmbedding
from tf_efficientbert.models.task_model import TaskModel

# Sizes vary in these steps, because a matrix product is prepared for each size that occurs.
_ROW_STEP, _COLUMN_STEP = 32, 16


class ServingGraph(tf.Module):
    """Logits of a batch, for classification or regression.

    Args:
        model: TaskModel, in float32.

    Raises:
        UserError: `model` has another head, such as spans.
    """

    def __init__(self, model: TaskModel):
        super().__init__()
        self._head = Head(model)
        backbone = model.backbone
        self._embedding = _Embedding(backbone.embedding)
        attentions = [_Attention(layer) for layer in backbone.attentions[:-1]]
        self._attentions = [*attentions, _FirstTokenAttention(backbone.attentions[-1])]
        self._cells = [Cell(cell) for cell in backbone.cells]

    def __call__(self, token_ids, segment_ids, padding_mask):
        """int32 tensors [batch, tokens] to logits [batch, classes], or [batch] for one output."""
        width = _width(padding_mask)
        layout = _Layout(padding_mask[:, :width])
        x = self._embedding(token_ids[:, :width], segment_ids[:, :width], layout)
        for attention, cell in zip(self._attentions, self._cells, strict=True):
            x = cell(attention(x, layout))
        return self._head(x)


def _width(padding_mask: tf.Tensor) -> tf.Tensor:
    """Returns how many columns of [batch, tokens] hold all real tokens, rounded up to a step."""
    tokens = tf.shape(padding_mask)[1]
    ends = tf.where(padding_mask != 0, 1 + tf.range(tokens), 1)
    longest = tf.maximum(tf.reduce_max(ends), 1)  # of no rows, reduce_max is the smallest integer
    return tf.minimum(longest + -longest % _COLUMN_STEP, tokens)


class _Layout:
    """Positions of a batch's real tokens; converts between packed and padded tensors.

    Args:
        padding_mask: int32 [batch, tokens], 1 for real tokens. A row's first token always counts as
            real.
    """

    def __init__(self, padding_mask: tf.Tensor):
        self._batch, self._tokens = tf.unstack(tf.shape(padding_mask))
        first = tf.range(self._tokens) == 0
        real = tf.reshape((padding_mask != 0) | first, [-1])
        rows = tf.where(real)[:, 0]
        # Filled up with copies of the first token, which are never read.
        self._rows = tf.pad(rows, [[0, -tf.size(rows) % _ROW_STEP]])
        # Padding takes the values of the real token before it. Any finite value works: its score is
        # masked and its output is never read.
        self._places = tf.cumsum(tf.cast(real, tf.int32)) - 1
        self.bias = attention_bias(padding_mask)[:, 0]  # [batch, 1, tokens]

    def pack(self, values: tf.Tensor) -> tf.Tensor:
        """[batch, tokens, ...] to [real tokens, ...]."""
        return tf.gather(tf.reshape(values, (-1, *values.shape[2:])), self._rows)

    def unpack(self, values: tf.Tensor) -> tf.Tensor:
        """[real tokens, width] to [batch, tokens, width]."""
        shape = (self._batch, self._tokens, values.shape[-1])
        return tf.reshape(tf.gather(values, self._places), shape)

    def unpack_heads(self, values: tf.Tensor, heads: int) -> tf.Tensor:
        """[real tokens, heads * size] to [heads, batch, tokens, size]."""
        size = values.shape[-1] // heads
        by_head = tf.transpose(tf.reshape(values, (-1, heads, size)), (1, 0, 2))
        shape = (heads, self._batch, self._tokens, size)
        return tf.reshape(tf.gather(by_head, self._places, axis=1), shape)

    def pack_heads(self, values: tf.Tensor) -> tf.Tensor:
        """[heads, batch, tokens, size] to [real tokens, heads * size]."""
        heads, size = values.shape[0], values.shape[-1]
        by_head = tf.gather(tf.reshape(values, (heads, -1, size)), self._rows, axis=1)
        return tf.reshape(tf.transpose(by_head, (1, 0, 2)), (-1, heads * size))

    def first(self, values: tf.Tensor) -> tf.Tensor:
        """[real tokens, width] to [batch, width]: each row's first token."""
        starts = tf.range(self._batch) * self._tokens
        return tf.gather(values, tf.gather(self._places, starts))

    @property
    def positions(self) -> tf.Tensor:
        """int64 [real tokens], each token's position in its row."""
        return self._rows % tf.cast(self._tokens, tf.int64)


class _Embedding(tf.Module):
    def __init__(self, layer):
        super().__init__()
        self._tokens = constant(layer.token_table)
        self._positions = constant(layer.position_table)
        self._segments = constant(layer.segment_table)
        self._layer_norm = LayerNorm(layer.layer_norm)
        self._projection = None
        if isinstance(layer, TrigramEmbedding):
            self._projection = Dense(*kernel_and_bias(layer.projection))

    def __call__(self, token_ids, segment_ids, layout: _Layout):
        x = tf.gather(self._tokens, token_ids)
        if self._projection:
            x = with_neighbours(x)
        x = layout.pack(x)
        if self._projection:
            x = self._projection(x)
        x += tf.gather(self._positions, layout.positions)
        x += tf.gather(self._segments, layout.pack(segment_ids))
        return self._layer_norm(x)


class _Attention(tf.Module):
    """x [real tokens, d] to the block's output, of the same shape."""

    def __init__(self, layer: SelfAttention):
        super().__init__()
        self._heads = layer.num_heads
        query, bias = scaled_query(layer)
        # One product for all three. The key bias is left out: it shifts all scores of a query
        # equally.
        kernels = [query, layer.key.kernel, layer.value.kernel]
        self._projections = Dense(tf.concat(kernels, 1), tf.pad(bias, [[0, 2 * len(bias)]]))
        self._output = Dense(*output_with_value_bias(layer))
        self._layer_norm = LayerNorm(layer.layer_norm)

    def __call__(self, x, layout: _Layout):
        parts = layout.unpack_heads(self._projections(x), 3 * self._heads)
        query, key, value = tf.split(parts, 3)
        scores = tf.matmul(query, key, transpose_b=True) + layout.bias
        context = tf.matmul(tf.nn.softmax(scores), value)
        return self._layer_norm(x + self._output(layout.pack_heads(context)))


class _FirstTokenAttention(AbsorbedAttention):
    """x [real tokens, d] to the block's output for each row's first token, [batch, d]."""

    def __call__(self, x, layout: _Layout):
        first, rows = layout.first(x), layout.unpack(x)
        query = tf.reshape(self._query(first), (-1, self._heads, self._head_size))
        query = tf.einsum("bhs,hsd->bhd", query, self._key_transposed)
        scores = tf.matmul(query, rows, transpose_b=True) + layout.bias
        context = tf.matmul(tf.nn.softmax(scores), rows)
        context = tf.einsum("bhd,hds->bhs", context, self._value)
        context = tf.reshape(context, (-1, self._heads * self._head_size))
        return self._layer_norm(first + self._output(context))
