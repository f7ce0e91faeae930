"""The trigram embedding of MobileBERT, as used in EfficientBERT."""

import keras
from keras import ops

from tf_efficientbert.layers.bert_embedding import BertEmbedding
from tf_efficientbert.layers.linear import Linear

PADDING_ID = 0


@keras.saving.register_keras_serializable(package="tf_efficientbert")
class TrigramEmbedding(BertEmbedding):
    """Embeds each token together with its neighbours from a narrow token table.

    The token embeddings of the next, the current and the previous position (zeros past the ends)
    are concatenated and mapped to `hidden_size`; segments, positions, LayerNorm and dropout follow
    as in BERT. Sun et al., MobileBERT (ACL 2020), section 3.4; Dong et al., EfficientBERT (2021).

    The row of `[PAD]` starts at zero and gets no gradient. So padding does not change the output:
    the right neighbour of the last token is zero with and without it.

    Args:
        embedding_size: int, width E of the token table. The others: see `BertEmbedding`.
    """

    def __init__(self, embedding_size: int = 128, **kwargs):
        super().__init__(**kwargs)
        self.embedding_size = embedding_size
        self.projection = Linear(
            self.hidden_size,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            dtype=self.dtype_policy,
            name="projection",
        )

    @property
    def token_width(self) -> int:
        return self.embedding_size

    def build(self, input_shape=None):
        super().build(input_shape)
        self.projection.build((None, None, 3 * self.embedding_size))
        is_padding = ops.arange(self.vocabulary_size)[:, None] == PADDING_ID
        self.token_table.assign(ops.where(is_padding, 0.0, self.token_table.value))

    def embed_tokens(self, token_ids):
        x = super().embed_tokens(token_ids)
        x = ops.where((token_ids == PADDING_ID)[..., None], ops.stop_gradient(x), x)
        following = ops.pad(x[:, 1:], [[0, 0], [0, 1], [0, 0]])
        preceding = ops.pad(x[:, :-1], [[0, 0], [1, 0], [0, 0]])
        return self.projection(ops.concatenate([following, x, preceding], axis=-1))

    def get_config(self):
        return {**super().get_config(), "embedding_size": self.embedding_size}
