"""Packs sentences into pairs of segments, as BERT's pre-training has them."""

import numpy as np

from tf_efficientbert.data.batching import EncodedExamples

__all__ = ["packed"]

_SPECIAL = 3  # [CLS] and two [SEP]


def packed(sentences: EncodedExamples, max_tokens: int) -> EncodedExamples:
    """Returns neighbouring sentences packed as [CLS] A [SEP] B [SEP], of at most `max_tokens`.

    Dong et al. 2021 warm up on such text. Sentences alone leave the later positions and the second
    segment almost untrained. An example takes as many whole sentences as fit, whatever paragraph
    they are from; A has the first of them, at least one and not all; their number is random but the
    same in every run. A sentence that fills an example alone stays [CLS] A [SEP].

    Args:
        sentences: each [CLS] sentence [SEP].
        max_tokens: of an example.
    """
    firsts, middles, ends = map(np.array, zip(*_borders(sentences, max_tokens), strict=True))
    count = len(sentences)
    has_cls, has_sep, segments = np.zeros((3, count), bool)
    has_cls[firsts] = True
    has_sep[middles - 1] = has_sep[ends - 1] = True
    for middle, end in zip(middles, ends, strict=True):
        segments[middle:end] = True
    keep = np.ones(len(sentences.token_ids), bool)
    keep[sentences.offsets[:-1]] = has_cls
    keep[sentences.offsets[1:] - 1] = has_sep
    kept_lengths = sentences.lengths - 2 + has_cls + has_sep
    token_ids = sentences.token_ids[keep]
    return EncodedExamples(
        token_ids,
        np.repeat(segments, kept_lengths).astype(token_ids.dtype),
        np.concatenate([[0], np.cumsum(kept_lengths)[ends - 1]]),
        max_tokens=max_tokens,
    )


def _borders(sentences: EncodedExamples, max_tokens: int) -> list[tuple[int, int, int]]:
    """Returns (first, middle, end) of each example: A is first to middle, B middle to end."""
    pieces = (sentences.lengths - 2).tolist()
    random = np.random.default_rng(0)
    borders, first = [], 0
    while first < len(pieces):
        total, end = pieces[first], first + 1
        while end < len(pieces) and total + pieces[end] + _SPECIAL <= max_tokens:
            total, end = total + pieces[end], end + 1
        middle = int(random.integers(first + 1, end)) if end - first > 1 else end
        borders.append((first, middle, end))
        first = end
    return borders
