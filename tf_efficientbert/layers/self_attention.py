"""Multi-head self-attention that also returns what distillation compares."""

import keras
from keras import ops

from tf_efficientbert.layers.dropout import Dropout, fold_in
from tf_efficientbert.layers.layer_norm import layer_norm
from tf_efficientbert.layers.linear import Linear

MASKED_SCORE = -10000.0


def attention_bias(padding_mask, dtype: str = "float32"):
    """Maps a mask [batch, tokens], 1 for tokens, to the scores' bias [batch, 1, 1, tokens]."""
    return (1 - ops.cast(padding_mask, dtype))[:, None, None, :] * MASKED_SCORE


@keras.saving.register_keras_serializable(package="tf_efficientbert")
class SelfAttention(keras.layers.Layer):
    """BERT's self-attention block: attention, output projection, dropout, residual, LayerNorm.

    Args:
        hidden_size: int, width d of input and output.
        num_heads: int, must divide `hidden_size`.
        dropout: float, rate on the attention probabilities and on the output.
        layer_norm_epsilon: float.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        dropout: float = 0.1,
        layer_norm_epsilon: float = 1e-5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if hidden_size % num_heads:
            raise ValueError(f"hidden_size={hidden_size} is not divisible by {num_heads} heads")

        def projection(name):
            initializer = keras.initializers.TruncatedNormal(stddev=0.02)
            return Linear(
                hidden_size, kernel_initializer=initializer, dtype=self.dtype_policy, name=name
            )

        # === Layers ===
        self.query = projection("query")
        self.key = projection("key")
        self.value = projection("value")
        self.output_projection = projection("output_projection")
        self.layer_norm = layer_norm(layer_norm_epsilon, self.dtype_policy)
        self.dropout_layer = Dropout(dropout, dtype=self.dtype_policy, name="dropout")
        # === Config ===
        self.hidden_size = hidden_size
        self.num_heads = num_heads
        self.head_size = hidden_size // num_heads
        self.dropout = dropout
        self.layer_norm_epsilon = layer_norm_epsilon

    def build(self, input_shape):
        for layer in (
            self.query,
            self.key,
            self.value,
            self.output_projection,
            self.layer_norm,
        ):
            layer.build((None, None, self.hidden_size))

    def call(self, x, bias, dropout_seed=None, training=False):
        """Attends within `x` under `bias` (see `attention_bias`).

        `x` is [batch, tokens, hidden_size], or [batch * tokens, hidden_size]: a projection is then
        one matrix product, without reshapes.

        Returns the block's output, shaped like `x`; the biased scores before softmax,
        [batch, num_heads, tokens, tokens]; and the queries, keys and values, a triple of tensors
        shaped like `x`.
        """
        by_head = (-1, ops.shape(bias)[-1], self.num_heads, self.head_size)

        def split_heads(projected):
            return ops.transpose(ops.reshape(projected, by_head), (0, 2, 1, 3))

        projections = self.query(x), self.key(x), self.value(x)
        query, key, value = map(split_heads, projections)
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        scores = scores * self.head_size**-0.5 + ops.cast(bias, scores.dtype)
        probabilities = self.dropout_layer(
            ops.softmax(scores, axis=-1), fold_in(dropout_seed, 0), training=training
        )
        context = ops.transpose(ops.matmul(probabilities, value), (0, 2, 1, 3))
        context = ops.reshape(context, (-1, *ops.shape(x)[1:]))
        update = self.dropout_layer(
            self.output_projection(context), fold_in(dropout_seed, 1), training=training
        )
        return self.layer_norm(x + update), scores, projections

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_size": self.hidden_size,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "layer_norm_epsilon": self.layer_norm_epsilon,
        }
