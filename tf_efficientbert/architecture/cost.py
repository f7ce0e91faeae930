"""Exact parameters and multiply-adds of a network, counted from its description alone.

Counting rules of Dong et al. 2021 (EfficientBERT, arXiv 2109.07222): everything but the task
head, to which the pooler belongs; one multiply-add is one MAC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # spec.py imports this module
    from tf_efficientbert.architecture.spec import Architecture

_SEGMENTS = 2
_TRIGRAM_TOKENS = 3
# Query, key, value and output.
_ATTENTION_MAPS = 4


def count_parameters(
    architecture: Architecture,
    fit_size: int | None = 768,
    vocabulary_size: int = 30522,
    max_positions: int = 512,
) -> int:
    """Trainable numbers of embedding, layers and fit projection.

    Args:
        architecture: the network.
        fit_size: the teacher's hidden size, to which the fit projection leads; None or 0 counts
            the network without that projection, as it is exported.
        vocabulary_size: rows of the token table.
        max_positions: rows of the position table.
    """
    hidden = architecture.hidden_size
    parameters = _embedding_parameters(architecture, vocabulary_size, max_positions)
    parameters += architecture.num_layers * (
        _ATTENTION_MAPS * _dense(hidden, hidden) + _layer_norm(hidden)
    )
    for cell in architecture.cells:
        inner = cell.inner_width(architecture.ffn_width)
        ffn = _dense(hidden, inner) + _dense(inner, hidden) + _layer_norm(hidden)
        parameters += cell.stack * ffn
    return parameters + (_dense(hidden, fit_size) if fit_size else 0)


def count_macs(architecture: Architecture, sequence_length: int = 128) -> int:
    """Multiply-adds for one sequence: linear maps and the attention products q.k and p.v.

    Neither fit projection, pooler and head nor anything elementwise (a formula's mul, say)
    counts.
    """
    hidden = architecture.hidden_size
    per_token = 0
    if architecture.embedding == "trigram":
        per_token += _TRIGRAM_TOKENS * architecture.embedding_size * hidden
    attention_products = 2 * sequence_length * hidden
    per_token += architecture.num_layers * (_ATTENTION_MAPS * hidden**2 + attention_products)
    for cell in architecture.cells:
        per_token += cell.stack * 2 * hidden * cell.inner_width(architecture.ffn_width)
    return sequence_length * per_token


def _embedding_parameters(
    architecture: Architecture, vocabulary_size: int, max_positions: int
) -> int:
    hidden, embedding_size = architecture.hidden_size, architecture.embedding_size
    tables = vocabulary_size * embedding_size + (_SEGMENTS + max_positions) * hidden
    if architecture.embedding == "trigram":
        tables += _dense(_TRIGRAM_TOKENS * embedding_size, hidden)
    return tables + _layer_norm(hidden)


def _dense(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _layer_norm(width: int) -> int:
    return 2 * width
