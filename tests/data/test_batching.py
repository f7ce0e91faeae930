import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import default_task
from tf_efficientbert.data.batching import (
    EncodedExamples,
    TrainingBatches,
    encode,
    evaluation_batches,
)
from tf_efficientbert.data.tokenizer import Tokenizer

_VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b")


def _examples(lengths) -> EncodedExamples:
    """Example i has `lengths[i]` times token i + 1, in segment 1, and the label i."""
    ids = np.repeat(np.arange(1, len(lengths) + 1), lengths).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    labels = np.arange(len(lengths), dtype=np.int32)
    return EncodedExamples(ids, np.ones_like(ids), offsets, labels)


def _epoch(batches, epoch=0):
    first = epoch * batches.steps_per_epoch
    return [batches[step] for step in range(first, first + batches.steps_per_epoch)]


def _waste(batches) -> float:
    """Padding positions per real token."""
    masks = [batch["padding_mask"] for batch in batches]
    return sum(mask.size for mask in masks) / sum(mask.sum() for mask in masks) - 1


def _assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=90),
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 3),
    epoch=st.integers(0, 2),
)
def test_an_epoch_has_each_example_once_and_a_filled_last_batch(lengths, batch_size, seed, epoch):
    batches = TrainingBatches(_examples(lengths), batch_size, seed)
    epoch = _epoch(batches, epoch)
    assert all(len(batch["labels"]) == batch_size for batch in epoch)
    counts = np.bincount(np.concatenate([b["labels"] for b in epoch]), minlength=len(lengths))
    assert counts.sum() == -(-len(lengths) // batch_size) * batch_size
    assert counts.min() >= 1 and np.ptp(counts) <= 1


# Examples are sorted by length within pools of 64 batches.
@pytest.mark.parametrize("batches_in_epoch", [64, 65, 127, 129, 200])
@pytest.mark.parametrize("batch_size", [3, 8])
def test_no_example_is_lost_beyond_one_sorting_pool(batches_in_epoch, batch_size):
    count = batches_in_epoch * batch_size
    batches = TrainingBatches(_examples([5] * count), batch_size, seed=1)
    seen = [batch["labels"] for batch in _epoch(batches)]
    assert {len(labels) for labels in seen} == {batch_size}
    assert sorted(np.concatenate(seen)) == list(range(count))


@pytest.mark.parametrize("count", [1, 3])
def test_fewer_examples_than_a_batch_are_repeated(count):
    batches = TrainingBatches(_examples([4] * count), batch_size=7, seed=0)
    assert batches.steps_per_epoch == 1
    counts = np.bincount(batches[5]["labels"], minlength=count)
    assert counts.sum() == 7 and np.ptp(counts) <= 1


def test_training_without_examples_is_an_error():
    with pytest.raises(ValueError, match="no examples"):
        TrainingBatches(_examples([]), 8, 0)


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(st.integers(0, 60), min_size=1, max_size=12), seed=st.integers(0, 5))
def test_a_batch_does_not_depend_on_earlier_requests(steps, seed):
    examples = _examples(np.random.default_rng(0).integers(1, 50, 70))
    used = TrainingBatches(examples, 6, seed)
    for step in steps:
        _assert_equal(used[step], TrainingBatches(examples, 6, seed)[step])


def test_batches_differ_between_epochs_and_seeds():
    examples = _examples(np.random.default_rng(0).integers(1, 50, 200))

    def order(seed, epoch):
        batches = _epoch(TrainingBatches(examples, 10, seed), epoch)
        return np.concatenate([batch["labels"] for batch in batches]).tolist()

    orders = [order(0, 0), order(0, 1), order(1, 0), order(1, 1)]
    assert len({tuple(order) for order in orders}) == 4


def test_batches_of_an_epoch_are_not_ordered_by_length():
    batches = TrainingBatches(_examples(np.arange(1, 401)), 8, seed=0)
    longest = np.array([batch["padding_mask"].sum(1).max() for batch in _epoch(batches)])
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.3


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(1, 33), min_size=1, max_size=20))
def test_a_batch_is_padded_to_the_next_multiple_of_eight(lengths):
    batch = TrainingBatches(_examples(lengths), 4, seed=0)[0]
    width = batch["token_ids"].shape[1]
    longest = max(lengths[label] for label in batch["labels"])
    assert width % 8 == 0 and longest <= width < longest + 8
    for row, label in enumerate(batch["labels"]):
        real = np.arange(width) < lengths[label]
        np.testing.assert_array_equal(batch["padding_mask"][row], real)
        np.testing.assert_array_equal(batch["token_ids"][row], np.where(real, label + 1, 0))
        np.testing.assert_array_equal(batch["segment_ids"][row], real)
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int32)}


def test_a_batch_without_labels_can_be_padded_to_a_given_length():
    examples = EncodedExamples(*[np.ones(5, np.int32)] * 2, np.array([0, 2, 5]))
    batch = examples.padded(np.array([1]), tokens=6)
    assert batch.keys() == {"token_ids", "segment_ids", "padding_mask"}
    assert batch["padding_mask"].tolist() == [[1, 1, 1, 0, 0, 0]]


def test_padding_does_not_exceed_max_tokens():
    tokenizer = Tokenizer(_VOCABULARY)
    examples = encode(tokenizer, ["a " * 50, "b"], max_tokens=30).take(np.array([1, 0]))
    assert examples.padded(np.array([1]))["token_ids"].shape == (1, 30)
    assert examples.padded(np.array([0]))["token_ids"].shape == (1, 8)


def test_batching_by_length_needs_a_third_of_the_padding_of_random_batching():
    sentences = default_task.load("train").texts
    examples = encode(Tokenizer((*_VOCABULARY, *"cdefghijklmnopqrstuvwxyz")), sentences)
    ours = _waste(_epoch(TrainingBatches(examples, 32, seed=0)))
    order = np.random.default_rng(0).permutation(len(examples))
    theirs = _waste(examples.padded(order[i : i + 32]) for i in range(0, len(order), 32))
    assert theirs > 1  # more padding than text
    assert ours < theirs / 3


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(1, 33), max_size=30), batch_size=st.integers(1, 9))
def test_evaluation_batches_have_each_example_once_longest_first(lengths, batch_size):
    examples = _examples(np.array(lengths, dtype=int))
    batches = list(evaluation_batches(examples, batch_size))
    seen = [index for indices, _ in batches for index in indices]
    assert sorted(seen) == list(range(len(lengths)))
    assert [lengths[i] for i in seen] == sorted(lengths, reverse=True)
    for indices, batch in batches:
        _assert_equal(batch, examples.padded(indices))


def test_encoding_keeps_order_labels_and_pairs():
    tokenizer = Tokenizer(_VOCABULARY)
    examples = encode(tokenizer, ["a b", ""], ("b", "a"), np.array([1, 0]), max_tokens=6)
    assert len(examples) == 2 and examples.labels.tolist() == [1, 0]
    assert examples.lengths.tolist() == [6, 4]
    assert examples.token_ids.tolist() == [2, 4, 5, 3, 5, 3, 2, 3, 4, 3]
    assert examples.segment_ids.tolist() == [0, 0, 0, 0, 1, 1, 0, 0, 1, 1]
