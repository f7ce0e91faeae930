import random
from collections import Counter
from itertools import combinations

import pytest

from tf_efficientbert.data import snippets
from tf_efficientbert.data.snippets import Snippet, parse, split_snippets
from tf_efficientbert.data.text_keys import text_key

SPLITS = {"train": 2_400, "dev": 600, "test": 3_000}
TOY_SIZES = {"train": 8, "dev": 2, "test": 6}
TOY = [Snippet(f"Film {i}.", (0, 1, None)[i % 3]) for i in range(60)]


def parse_line(rating: str, text: str) -> Snippet:
    (snippet,) = parse(f"7\t{rating}\t{text}\r\n".encode())
    return snippet


@pytest.mark.parametrize(
    ("rating", "label"),
    [("3.9", 1), ("1.06666666667", 1), ("1", None), ("0", None), ("-1.0", None), ("-1.5", 0)],
)
def test_a_rating_beyond_one_gives_a_label(rating, label):
    assert parse_line(rating, "A film.").label == label


def test_entities_are_decoded_and_white_space_is_collapsed():
    assert (
        parse_line("2", " Lovely &amp; Amazing  is\xa0sharp. ").text == "Lovely & Amazing is sharp."
    )


def test_quotes_are_literal():
    assert parse_line("2", "\"A ''bold'' film").text == "\"A ''bold'' film"


def test_unicode_line_separators_do_not_end_a_line():
    assert parse_line("2", "A\u2028bold\x85film").text == "A bold film"


def test_each_line_is_a_snippet():
    content = b"1\t2.5\tGood.\r\n2\t-2.5\tBad.\r\n3\t0.5\tA film."
    assert parse(content) == [Snippet("Good.", 1), Snippet("Bad.", 0), Snippet("A film.", None)]


def test_splits_have_their_sizes_and_half_of_each_label():
    labelled = split_snippets(TOY, TOY_SIZES).labelled
    counts = {split: Counter(s.label for s in chosen) for split, chosen in labelled.items()}
    assert counts == {"train": {0: 4, 1: 4}, "dev": {0: 1, 1: 1}, "test": {0: 3, 1: 3}}


def test_every_snippet_is_in_exactly_one_split():
    split = split_snippets(TOY, TOY_SIZES)
    places = [[s.text for s in chosen] for chosen in split.labelled.values()]
    texts = [text for place in [*places, split.unlabelled] for text in place]
    assert sorted(texts) == sorted(s.text for s in TOY)


def test_splits_do_not_depend_on_the_order_of_the_file():
    shuffled = random.Random(1).sample(TOY, len(TOY))
    assert split_snippets(shuffled, TOY_SIZES) == split_snippets(TOY, TOY_SIZES)


def test_one_of_equal_texts_is_kept_in_any_order():
    equal = [Snippet("A TRUE delight", 1), Snippet("...a true delight!", 1)]
    for pair in (equal, equal[::-1]):
        assert split_snippets(pair, {}).unlabelled == ("...a true delight!",)


@pytest.mark.parametrize("other", [0, None])
def test_equal_texts_with_different_labels_are_dropped(other):
    pair = [Snippet("A film", 1), Snippet("A film!", other)]
    assert split_snippets(pair, {}).unlabelled == ()


def test_the_default_splits_have_their_sizes_and_balanced_labels():
    loaded = {split: snippets.load(split) for split in SPLITS}
    assert {split: len(texts) for split, (texts, _) in loaded.items()} == SPLITS
    for texts, labels in loaded.values():
        assert Counter(labels) == {0: len(texts) // 2, 1: len(texts) // 2}


def test_no_text_of_the_default_data_is_in_two_splits():
    places = [{text_key(t) for t in snippets.load(split)[0]} for split in SPLITS]
    places.append({text_key(t) for t in snippets.unlabelled()})
    assert [len(place) for place in places] == [2_400, 600, 3_000, 4_603]
    assert all(a.isdisjoint(b) for a, b in combinations(places, 2))


def test_labels_are_mixed_throughout_a_split():
    _, labels = snippets.load("train")
    for start in range(0, len(labels), 400):
        assert 140 < sum(labels[start : start + 400]) < 260


def test_known_snippets_have_their_labels():
    known = {
        "An impenetrable and insufferable ball of pseudo philosophic twaddle.": "negative",
        "Effective but too tepid biopic": None,
    }
    labels = {}
    for split in SPLITS:
        labels.update(zip(*snippets.load(split), strict=True))
    labels.update(dict.fromkeys(snippets.unlabelled()))
    names = {
        text: None if labels[text] is None else snippets.LABELS[labels[text]] for text in known
    }
    assert names == known
