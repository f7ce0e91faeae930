import numpy as np
import pytest

from tf_efficientbert.data import custom, reviews

_SHARES = {"train": 0.7, "dev": 0.1, "test": 0.2}


@pytest.fixture(scope="module")
def splits():
    return {split: reviews.load(split) for split in _SHARES}


@pytest.fixture(scope="module")
def everything():
    return custom.load(reviews.SHIPPED / "reviews.tsv", reviews.TASK.labels)


def test_three_thousand_sentences_are_shared_out_and_none_is_lost(splits, everything):
    assert len(everything) == 3000
    ours = [pair for s in splits.values() for pair in zip(s.sentences, s.labels, strict=True)]
    theirs = zip(everything.sentences, everything.labels, strict=True)
    assert sorted(ours) == sorted(theirs)


def test_the_splits_shares_are_within_two_points_of_what_is_promised(splits):
    for split, share in _SHARES.items():
        assert abs(len(splits[split]) / 3000 - share) < 0.02


def test_both_labels_are_in_every_split_about_as_often(splits):
    for examples in splits.values():
        share = np.bincount(examples.labels, minlength=2) / len(examples)
        assert 0.45 < share.min() <= share.max() < 0.55


def _letters(sentence):
    return "".join(character for character in sentence.lower() if character.isalnum())


def test_equal_sentences_are_in_one_split_whatever_their_case_and_punctuation(splits, everything):
    letters = {
        split: {_letters(sentence) for sentence in examples.sentences}
        for split, examples in splits.items()
    }
    assert sum(map(len, letters.values())) == len(set.union(*letters.values()))
    # There are such sentences, and they differ as they are written.
    assert len({_letters(s) for s in everything.sentences}) < len(set(everything.sentences))


@pytest.mark.parametrize(
    ("sentence", "split", "label"),
    [
        ("What a waste of money and time!.", "train", "negative"),
        ("And the sound quality is great.", "train", "positive"),
        ("Mic Doesn't work.", "dev", "negative"),
        ("The phone loads super!", "dev", "positive"),
        ("Excellent bluetooth headset.", "test", "positive"),
        ("The ambiance isn't much better.", "test", "negative"),
    ],
)
def test_a_sentence_stays_in_the_split_it_has_always_been_in(splits, sentence, split, label):
    place = splits[split].sentences.index(sentence)
    assert reviews.TASK.labels[splits[split].labels[place]] == label


def test_the_sources_are_named_beside_the_data():
    text = (reviews.SHIPPED / "ATTRIBUTION.md").read_text("utf-8")
    for name in ("reviews.tsv", "novels.txt", "CC BY 4.0"):
        assert name in text


def test_the_task_is_to_tell_two_labels_apart():
    assert reviews.TASK.labels == ("negative", "positive")
    assert (reviews.TASK.pair, reviews.TASK.num_outputs) == (False, 2)
