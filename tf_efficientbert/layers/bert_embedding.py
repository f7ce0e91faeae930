"""BERT's input embedding."""

import keras
from keras import ops

from tf_efficientbert.layers.dropout import Dropout
from tf_efficientbert.layers.layer_norm import layer_norm
from tf_efficientbert.layers.rounding import RoundingPoint

# Of the sum of position and segment embeddings, [..., tokens, d]: one table in exported models.
place_embedding = RoundingPoint("place_embedding")


@keras.saving.register_keras_serializable(package="tf_efficientbert")
class BertEmbedding(keras.layers.Layer):
    """Sum of token, segment and position embeddings, LayerNorm, dropout.

    Args:
        vocabulary_size: int, rows of the token table.
        hidden_size: int, width d of the output.
        max_positions: int, the longest sequence.
        num_segments: int, rows of the segment table.
        dropout: float, dropout rate after the LayerNorm.
        layer_norm_epsilon: float.
    """

    def __init__(
        self,
        vocabulary_size: int,
        hidden_size: int,
        max_positions: int = 512,
        num_segments: int = 2,
        dropout: float = 0.1,
        layer_norm_epsilon: float = 1e-5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        # === Layers ===
        self.layer_norm = layer_norm(layer_norm_epsilon, self.dtype_policy)
        self.dropout_layer = Dropout(dropout, dtype=self.dtype_policy, name="dropout")
        # === Config ===
        self.vocabulary_size = vocabulary_size
        self.hidden_size = hidden_size
        self.max_positions = max_positions
        self.num_segments = num_segments
        self.dropout = dropout
        self.layer_norm_epsilon = layer_norm_epsilon

    @property
    def token_width(self) -> int:
        """Width of the token table."""
        return self.hidden_size

    def build(self, input_shape=None):
        def table(name, rows, width):
            initializer = keras.initializers.TruncatedNormal(stddev=0.02)
            # Rows are cast after the lookup: the whole table would take as long as some layers.
            return self.add_weight(
                name=name, shape=(rows, width), initializer=initializer, autocast=False
            )

        self.token_table = table("token_table", self.vocabulary_size, self.token_width)
        self.segment_table = table("segment_table", self.num_segments, self.hidden_size)
        self.position_table = table("position_table", self.max_positions, self.hidden_size)
        self.layer_norm.build((None, None, self.hidden_size))

    def embed_tokens(self, token_ids):
        """Maps ids [batch, tokens] to token embeddings [batch, tokens, hidden_size]."""
        return self._rows(self.token_table, token_ids)

    def _rows(self, table, numbers):
        return ops.cast(ops.take(table, numbers, axis=0), self.compute_dtype)

    def call(self, token_ids, segment_ids, dropout_seed=None, training=False):
        """Embeds int32 `token_ids` and `segment_ids`, both [batch, tokens].

        Returns [batch, tokens, hidden_size]. Raises ValueError for sequences over `max_positions`.
        """
        tokens = token_ids.shape[1]
        if tokens is not None and tokens > self.max_positions:
            raise ValueError(
                f"sequences of {tokens} tokens do not fit max_positions={self.max_positions}"
            )
        x = self.embed_tokens(token_ids)
        positions = ops.cast(self.position_table[: ops.shape(token_ids)[1]], self.compute_dtype)
        x = x + place_embedding(self._rows(self.segment_table, segment_ids) + positions)
        return self.dropout_layer(self.layer_norm(x), dropout_seed, training=training)

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "hidden_size": self.hidden_size,
            "max_positions": self.max_positions,
            "num_segments": self.num_segments,
            "dropout": self.dropout,
            "layer_norm_epsilon": self.layer_norm_epsilon,
        }
