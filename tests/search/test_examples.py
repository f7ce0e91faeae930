import dataclasses

import numpy as np
import pytest

from tests.models.small_text_models import TASKS
from tests.training.tiny_training import tiny_examples
from tf_efficientbert.errors import UserError
from tf_efficientbert.search.examples import SearchExamples


def examples_of(train, seed=3) -> SearchExamples:
    return SearchExamples(
        text=train, train=train, for_distillation=train, task=TASKS["classification"], seed=seed
    )


def texts(encoded) -> list[tuple[int, ...]]:
    pairs = zip(encoded.offsets, encoded.offsets[1:], strict=False)
    return [tuple(encoded.token_ids[start:end].tolist()) for start, end in pairs]


def with_duplicates():
    """Sixteen different texts, eight of them three times: 32 examples in random order."""
    indices = np.r_[np.arange(16), np.arange(8), np.arange(8)]
    return tiny_examples(16).take(np.random.default_rng(0).permutation(indices))


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("seed", range(3))
def test_no_text_is_on_both_sides_of_the_split(share, seed):
    train = with_duplicates()
    examples = examples_of(train, seed)
    held_out, others = (texts(side) for side in _sides(examples, share))
    assert held_out and others and not set(held_out) & set(others)
    assert sorted(held_out + others) == sorted(texts(train))
    # At most the two copies more that the last text has, unless it would take the last text.
    wanted = max(1, round(share * 32))
    assert len(held_out) <= wanted + 2
    assert len(held_out) >= min(wanted, 32 - 3)
    assert examples.count_held_out(share) == len(held_out)


def _sides(examples, share):
    return examples.held_out(share), examples.on_task(share, 1.0)


def test_another_order_of_the_training_set_holds_out_the_same_texts():
    train = with_duplicates()
    moved = train.take(np.random.default_rng(1).permutation(32))
    ours, theirs = (texts(examples_of(each).held_out(0.25)) for each in (train, moved))
    assert ours == theirs


def test_another_seed_holds_out_other_texts():
    train = with_duplicates()
    assert len({tuple(texts(examples_of(train, seed).held_out(0.25))) for seed in range(4)}) == 4


def test_equal_texts_alone_cannot_be_split():
    same = tiny_examples(4).take(np.zeros(4, int))
    same = dataclasses.replace(same, labels=np.arange(4) % 3)
    with pytest.raises(UserError, match="two different training texts; all of them are equal"):
        examples_of(same).held_out(0.25)
