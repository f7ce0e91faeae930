"""Exact parameters and multiply-adds of a network's parts, from their sizes alone.

Counting rules of Dong et al. 2021 (EfficientBERT, arXiv 2109.07222): everything except the task
head, to which the pooler belongs; one multiply-add is one MAC. MACs are those of one token.
`Architecture.count_parameters` and `Architecture.count_macs` add the parts up.
"""

_SEGMENTS = 2
_TRIGRAM_TOKENS = 3
# Query, key, value and output.
_ATTENTION_MAPS = 4


def dense_parameters(inputs: int, outputs: int) -> int:
    """Kernel and bias of a linear map."""
    return inputs * outputs + outputs


def embedding_parameters(
    embedding: str, embedding_size: int, hidden_size: int, vocabulary_size: int, max_positions: int
) -> int:
    """Token, segment and position tables, the trigram's linear map and the layer norm."""
    tables = vocabulary_size * embedding_size + (_SEGMENTS + max_positions) * hidden_size
    if embedding == "trigram":
        tables += dense_parameters(_TRIGRAM_TOKENS * embedding_size, hidden_size)
    return tables + _layer_norm_parameters(hidden_size)


def attention_parameters(hidden_size: int) -> int:
    """Self-attention of one layer with its layer norm."""
    maps = _ATTENTION_MAPS * dense_parameters(hidden_size, hidden_size)
    return maps + _layer_norm_parameters(hidden_size)


def ffn_parameters(hidden_size: int, inner_width: int) -> int:
    """One feed-forward network with its layer norm."""
    maps = dense_parameters(hidden_size, inner_width) + dense_parameters(inner_width, hidden_size)
    return maps + _layer_norm_parameters(hidden_size)


def embedding_macs(embedding: str, embedding_size: int, hidden_size: int) -> int:
    """The trigram's linear map; looking up a table costs none."""
    return _TRIGRAM_TOKENS * embedding_size * hidden_size if embedding == "trigram" else 0


def attention_macs(hidden_size: int, sequence_length: int) -> int:
    """The four linear maps, and the products q.k and p.v with each token of the sequence."""
    return _ATTENTION_MAPS * hidden_size**2 + 2 * sequence_length * hidden_size


def ffn_macs(hidden_size: int, inner_width: int) -> int:
    """Both linear maps of one feed-forward network."""
    return 2 * hidden_size * inner_width


def _layer_norm_parameters(width: int) -> int:
    return 2 * width
