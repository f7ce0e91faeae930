"""A trained model's answers to a batch, for a server: no work for padding.

Texts of a batch differ in length, and a bucket is mostly padding. Here the real tokens lie end to
end, [real tokens, d], and every dense layer runs on these alone. The last layer is computed for
[CLS], the one token that the head reads. The figures are the Keras model's, but for a row without a
real token, which has no answer.
"""

import tensorflow as tf

from tf_efficientbert.errors import UserError
from tf_efficientbert.export.inference_layers import (
    AbsorbedAttention,
    Cell,
    Dense,
    LayerNorm,
    constant,
    kernel_and_bias,
    output_with_value_bias,
    scaled_query,
)
from tf_efficientbert.layers.self_attention import SelfAttention, attention_bias
from tf_efficientbert.layers.trigram_embedding import TrigramEmbedding
from tf_efficientbert.models.heads import ClassificationHead
from tf_efficientbert.models.task_model import TaskModel

_ROW_STEP = 32


class ServingGraph(tf.Module):
    """Logits of a batch, of a classification or a regression.

    Args:
        model: TaskModel, in float32.

    Raises:
        UserError: `model` answers something else, such as spans.
    """

    def __init__(self, model: TaskModel):
        super().__init__()
        if not isinstance(model.head, ClassificationHead):
            raise UserError("only a classification or a regression has a graph for serving")
        backbone = model.backbone
        self._embedding = _Embedding(backbone.embedding)
        attentions = [_Attention(layer) for layer in backbone.attentions[:-1]]
        self._attentions = [*attentions, _FirstTokenAttention(backbone.attentions[-1])]
        self._cells = [Cell(cell) for cell in backbone.cells]
        self._pooler = Dense(*kernel_and_bias(model.head.pooler))
        self._classifier = Dense(*kernel_and_bias(model.head.classifier))
        self._num_outputs = model.head.num_outputs

    def __call__(self, token_ids, segment_ids, padding_mask):
        """int32 tensors [batch, tokens] to logits [batch, classes], or [batch] for one output."""
        layout = _Layout(padding_mask)
        x = self._embedding(token_ids, segment_ids, layout)
        for attention, cell in zip(self._attentions, self._cells, strict=True):
            x = cell(attention(x, layout))
        logits = self._classifier(tf.tanh(self._pooler(x)))
        return tf.squeeze(logits, -1) if self._num_outputs == 1 else logits


class _Layout:
    """Where the real tokens of a batch are, and how to get there and back.

    Args:
        padding_mask: int32 [batch, tokens], 1 for real tokens. A row's first is taken for one.
    """

    def __init__(self, padding_mask: tf.Tensor):
        self._batch, self._tokens = tf.unstack(tf.shape(padding_mask))
        first = tf.range(self._tokens) == 0
        real = tf.reshape((padding_mask != 0) | first, [-1])
        rows = tf.where(real)[:, 0]
        # Filled up with the first token again, which nobody reads: a matrix product is prepared for
        # each number of rows that occurs, so few numbers should.
        self._rows = tf.pad(rows, [[0, -tf.size(rows) % _ROW_STEP]])
        # Padding stands for the real token before it: any finite value will do, as its score is
        # masked and nobody reads its own answer.
        self._places = tf.cumsum(tf.cast(real, tf.int32)) - 1
        self.bias = attention_bias(padding_mask)

    def pack(self, values: tf.Tensor) -> tf.Tensor:
        """[batch, tokens, ...] to [real tokens, ...]."""
        return tf.gather(tf.reshape(values, (-1, *values.shape[2:])), self._rows)

    def unpack(self, values: tf.Tensor) -> tf.Tensor:
        """[real tokens, width] to [batch, tokens, width]."""
        shape = (self._batch, self._tokens, values.shape[-1])
        return tf.reshape(tf.gather(values, self._places), shape)

    def first(self, values: tf.Tensor) -> tf.Tensor:
        """[real tokens, width] to [batch, width], each row's first token."""
        starts = tf.range(self._batch) * self._tokens
        return tf.gather(values, tf.gather(self._places, starts))

    @property
    def positions(self) -> tf.Tensor:
        """int64 [real tokens], each one's place in its row."""
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
            following = tf.pad(x[:, 1:], [[0, 0], [0, 1], [0, 0]])
            preceding = tf.pad(x[:, :-1], [[0, 0], [1, 0], [0, 0]])
            x = tf.concat([following, x, preceding], axis=-1)
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
        self._heads, self._head_size = layer.num_heads, layer.head_size
        query, bias = scaled_query(layer)
        # One product for all three. The key's bias shifts all scores of a query alike.
        kernels = [query, layer.key.kernel, layer.value.kernel]
        self._projections = Dense(tf.concat(kernels, 1), tf.pad(bias, [[0, 2 * len(bias)]]))
        self._output = Dense(*output_with_value_bias(layer))
        self._layer_norm = LayerNorm(layer.layer_norm)

    def __call__(self, x, layout: _Layout):
        projected = layout.unpack(self._projections(x))
        batch, tokens = tf.unstack(tf.shape(projected)[:2])
        parts = tf.reshape(projected, (batch, tokens, 3, self._heads, self._head_size))
        query, key, value = tf.unstack(tf.transpose(parts, (2, 0, 3, 1, 4)))
        scores = tf.matmul(query, key, transpose_b=True) + layout.bias
        context = tf.matmul(tf.nn.softmax(scores), value)
        context = tf.transpose(context, (0, 2, 1, 3))
        context = tf.reshape(context, (batch, tokens, self._heads * self._head_size))
        return self._layer_norm(x + self._output(layout.pack(context)))


class _FirstTokenAttention(AbsorbedAttention):
    """x [real tokens, d] to the block's output for each row's first token, [batch, d]."""

    def __call__(self, x, layout: _Layout):
        first, rows = layout.first(x), layout.unpack(x)
        query = tf.reshape(self._query(first), (-1, self._heads, self._head_size))
        query = tf.einsum("bhs,hsd->bhd", query, self._key_transposed)
        scores = tf.matmul(query, rows, transpose_b=True) + layout.bias[:, 0]
        context = tf.matmul(tf.nn.softmax(scores), rows)
        context = tf.einsum("bhd,hds->bhs", context, self._value)
        context = tf.reshape(context, (-1, self._heads * self._head_size))
        return self._layer_norm(first + self._output(context))
