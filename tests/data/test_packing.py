import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tf_efficientbert.data.batching import EncodedExamples
from tf_efficientbert.data.packing import packed

_CLS, _SEP = 2, 3


def _sentences(lengths):
    """Sentences of these numbers of word pieces; each piece has another id."""
    ids, number = [], 10
    for length in lengths:
        ids.append([_CLS, *range(number, number + length), _SEP])
        number += length
    flat = np.array([token for sentence in ids for token in sentence], np.int32)
    offsets = np.cumsum([0, *(length + 2 for length in lengths)])
    return EncodedExamples(flat, np.zeros_like(flat), offsets)


def _rows(examples):
    spans = [slice(*examples.offsets[i : i + 2]) for i in range(len(examples))]
    return [(examples.token_ids[s].tolist(), examples.segment_ids[s].tolist()) for s in spans]


def test_sentences_fill_an_example_in_two_segments():
    ((ids, segments),) = _rows(packed(_sentences([2, 1]), max_tokens=6))
    assert ids == [_CLS, 10, 11, _SEP, 12, _SEP]
    assert segments == [0, 0, 0, 0, 1, 1]


def test_a_sentence_that_leaves_no_room_stays_alone():
    rows = _rows(packed(_sentences([3, 4, 1, 1]), max_tokens=6))
    assert rows == [
        ([_CLS, 10, 11, 12, _SEP], [0] * 5),
        ([_CLS, 13, 14, 15, 16, _SEP], [0] * 6),
        ([_CLS, 17, _SEP, 18, _SEP], [0, 0, 0, 1, 1]),
    ]


@given(
    st.lists(st.integers(1, 14), min_size=1, max_size=40),
    st.integers(16, 60),
)
def test_packing_keeps_all_word_pieces_in_order_within_the_limit(lengths, max_tokens):
    sentences = _sentences(lengths)
    examples = packed(sentences, max_tokens)
    rows = _rows(examples)
    pieces = [token for ids, _ in rows for token in ids if token >= 10]
    assert pieces == list(range(10, 10 + sum(lengths)))
    ends = set(10 + np.cumsum(lengths) - 1)
    for ids, segments in rows:
        assert len(ids) <= max_tokens and ids[0] == _CLS and ids[-1] == _SEP
        assert ids.count(_CLS) == 1 and ids.count(_SEP) == 1 + segments[-1]
        assert segments == sorted(segments) and segments[0] == 0
        # A segment ends where a sentence does.
        assert all(ids[i - 1] in ends for i, token in enumerate(ids) if token == _SEP)
    # Nothing more fits: the first sentence of the next example is too long for this one.
    counts = [sum(token >= 10 for token in ids) for ids, _ in rows]
    starts = np.cumsum([0, *counts])
    first = dict(zip(np.cumsum([0, *lengths[:-1]]), lengths, strict=True))
    for count, start in zip(counts, starts[1:-1], strict=False):
        assert count + first[start] + 3 > max_tokens


def test_late_positions_and_the_second_segment_get_their_share():
    lengths = np.random.default_rng(1).integers(5, 60, 2000)
    sentences, examples = _sentences(lengths), packed(_sentences(lengths), 128)
    late = [np.mean(each.lengths > 64) for each in (sentences, examples)]
    assert late[0] == 0 and late[1] > 0.95
    assert 0.4 < examples.segment_ids.mean() < 0.6


def test_packing_is_the_same_in_every_run():
    one, two = (packed(_sentences([3, 4, 5] * 50), 64) for _ in "12")
    np.testing.assert_array_equal(one.token_ids, two.token_ids)
    np.testing.assert_array_equal(one.segment_ids, two.segment_ids)
