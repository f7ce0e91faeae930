"""The Keras layers of the networks, built only on keras.ops."""

from tf_efficientbert.layers.bert_embedding import BertEmbedding
from tf_efficientbert.layers.dropout import Dropout
from tf_efficientbert.layers.feed_forward import FeedForward
from tf_efficientbert.layers.feed_forward_cell import FeedForwardCell
from tf_efficientbert.layers.self_attention import SelfAttention
from tf_efficientbert.layers.trigram_embedding import TrigramEmbedding

__all__ = [
    "BertEmbedding",
    "Dropout",
    "FeedForward",
    "FeedForwardCell",
    "SelfAttention",
    "TrigramEmbedding",
]
