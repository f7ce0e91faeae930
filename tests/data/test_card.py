import json
import time

import numpy as np
import pytest

from tf_efficientbert.data.card import card_text, describe
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.tasks import Classification, MultiLabel, Regression

_TOKENIZER = Tokenizer(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "##d", "!"))
_MOOD = Classification("mood", ("sad", "glad"), pair=False)


def _examples(texts, labels, second_texts=None):
    second_texts = None if second_texts is None else tuple(second_texts)
    return Examples(tuple(texts), second_texts, np.array(labels))


def _card(splits, task=_MOOD, max_tokens=16, **given):
    given = {"columns": {}, "left_out": [], "notes": []} | given
    return describe(task, splits, tokenizer=_TOKENIZER, max_tokens=max_tokens, **given)


def _words(*numbers):
    """Texts with these numbers of words, each one token."""
    return [" ".join("a" * number) for number in numbers]


def _plenty(count=120, classes=2):
    """Examples without hints: distinct texts and balanced classes."""
    texts = [" ".join(f"{number:07b}".replace("0", "a").replace("1", "b")) for number in range(128)]
    return _examples(texts[:count], np.arange(count) % classes)


def test_rows_labels_columns_and_notes_are_counted_and_kept():
    left_out = [{"file": "f.csv", "line": 7, "reason": "the text is empty"}]
    card = _card(
        {"train": _examples(["a", "b", "c"], [0, 1, 1]), "dev": _examples(["a a"], [1])},
        columns={"text": "review", "label": "stars"},
        left_out=left_out,
        notes=["f.csv: comma between columns"],
    )
    assert card["task"] == "mood" and card["kind"] == "classification"
    assert card["splits"] == {"train": 3, "dev": 1}
    assert card["labels"] == {"sad": 1, "glad": 3}
    assert card["labels_by_split"] == {"train": {"sad": 1, "glad": 2}, "dev": {"sad": 0, "glad": 1}}
    assert card["columns"] == {"text": "review", "label": "stars"}
    assert card["left_out"] == left_out
    assert card["notes"] == ["f.csv: comma between columns"]
    assert "targets" not in card


def test_a_card_survives_a_json_round_trip():
    card = _card({"train": _plenty(), "dev": _examples(["a"], [1])}, max_tokens=3)
    assert json.loads(json.dumps(card)) == card


def test_lengths_are_those_of_uncut_texts_with_cls_and_sep():
    card = _card({"train": _examples(_words(*range(1, 100), 2000), [0, 1] * 50)}, max_tokens=100)
    tokens = card["tokens"]
    assert (tokens["p50"], tokens["p95"], tokens["max"]) == (52, 97, 2002)
    # 98 words fill 100 tokens and are not cut; 99 are.
    assert tokens["cut_count"] == 2 and tokens["cut"] == 0.02
    assert tokens["max_tokens"] == 100


def test_a_pair_counts_both_texts_and_both_separators():
    pairs = _examples(_words(2, 1), [0, 1], _words(3, 1))
    card = _card({"train": pairs}, Classification("likeness", ("no", "yes"), pair=True))
    assert card["tokens"]["max"] == 2 + 3 + 3


def test_the_histogram_counts_all_texts_in_a_few_bars():
    card = _card({"train": _examples(_words(*range(1, 40), 3000), [0, 1] * 20)})
    edges, counts = card["lengths"]["edges"], card["lengths"]["counts"]
    assert sum(counts) == 40
    assert len(edges) == len(counts) + 1 <= 26
    assert edges[-1] < 200, "one enormous text leaves the others no room"
    assert len(set(np.diff(edges))) == 1


def test_unknown_word_pieces_are_counted_as_a_share():
    card = _card({"train": _examples(["a b жук", "c"], [0, 1])})
    assert card["unknown_token_share"] == 1 / 4
    assert any("25.0 % of the word pieces are [UNK]" in hint for hint in card["hints"])


def test_duplicates_ignore_case_spaces_and_punctuation():
    card = _card(
        {
            "train": _examples(["a b", "A  B!", "a b.", "c"], [0, 0, 1, 1]),
            "dev": _examples(["C", "b", "c!"], [0, 1, 1]),
            "test": _examples(["d"], [0]),
        }
    )
    assert card["duplicates"] == {"rows": 3, "contradicting": 2}
    assert card["overlap"] == {"train/dev": 2, "train/test": 0, "dev/test": 0}
    hints = " | ".join(card["hints"])
    assert "2 texts with different labels" in hints
    assert "2 rows of dev repeat a text of train" in hints
    assert "of test repeat" not in hints


def test_a_split_without_labels_counts_all_but_labels():
    card = _card({"train": _plenty(), "test": Examples(("c", "c"), None, None)})
    assert card["splits"]["test"] == 2
    assert card["duplicates"] == {"rows": 1, "contradicting": 0}
    assert list(card["labels_by_split"]) == ["train"]


def test_several_labels_of_a_text_are_each_counted():
    task = MultiLabel("topics", ("x", "y", "z"), pair=False)
    card = _card({"train": _examples(["a", "b", "B"], [[1, 1, 0], [0, 1, 0], [0, 0, 0]])}, task)
    assert card["labels"] == {"x": 1, "y": 2, "z": 0}
    assert card["duplicates"]["contradicting"] == 1
    assert any("No row of 'z' in train" in hint for hint in card["hints"])


def test_a_regression_has_targets_instead_of_labels():
    task = Regression("likeness", (), pair=False)
    card = _card({"train": _examples(["a", "b"], [0.5, 4.0]), "dev": _examples(["c"], [3])}, task)
    assert card["labels"] == card["labels_by_split"] == {}
    assert card["targets"] == {"min": 0.5, "mean": 2.5, "max": 4.0}
    assert "Targets: 0.5 to 4, mean 2.5" in card_text(card)


def test_data_without_problems_has_no_hints():
    assert _card({"train": _plenty(), "dev": _examples(["c", "c c"], [0, 1])})["hints"] == []


def test_classes_missing_in_a_split_are_named():
    splits = {"train": _plenty(120, classes=2), "dev": _examples(["c", "c c"], [1, 2])}
    hints = _card(splits, Classification("mood", ("sad", "glad", "so so"), pair=False))["hints"]
    assert hints == [
        "No row of 'so so' in train: a model cannot learn a class without examples; add rows",
        "No row of 'sad' in dev: scores on dev do not cover it; add rows",
    ]


def test_hints_on_rare_classes_and_imbalance_name_a_remedy():
    texts = _plenty(124).texts
    labels = [0] * 110 + [1] * 10 + [2] * 3 + [3]
    task = Classification("mood", ("glad", "sad", "angry", "no idea"), pair=False)
    rare, uneven = _card({"train": _examples(texts, labels)}, task)["hints"]
    assert rare == (
        "Fewer than 10 training rows of 2 classes ('no idea' 1, 'angry' 3): add rows, or merge "
        "classes"
    )
    assert uneven == (
        "'glad' has 110 training rows and 'no idea' 1: consider --class_weights=balanced and "
        "--metric=macro_f1"
    )


@pytest.mark.parametrize(
    ("words", "max_tokens", "hint"),
    [
        (
            [20, 20, 100],
            64,
            "1 of 60 texts is longer than 64 tokens and is cut there; "
            "--max_tokens=128 keeps all of them whole",
        ),
        (
            [100, 100, 300],
            64,
            "3 of 60 texts are longer than 64 tokens and are cut there; "
            "--max_tokens=512 keeps all of them whole",
        ),
        ([600, 700, 800], 64, "--max_tokens=512 cuts only 3"),
        (
            [600, 700, 800],
            512,
            "3 of 60 texts are longer than 512 tokens and are cut there; put the important part",
        ),
    ],
)
def test_the_hint_on_cut_texts_names_a_sufficient_length(words, max_tokens, hint):
    texts = [*_plenty(57).texts, *_words(*words)]
    card = _card({"train": _examples(texts, [0, 1] * 30)}, max_tokens=max_tokens)
    assert any(hint in given for given in card["hints"]), card["hints"]


def test_the_text_of_a_card_has_the_same_content():
    card = _card(
        {"train": _examples([*_words(1, 2, 3), "a"], [0, 1, 1, 1]), "dev": _examples(["b"], [0])},
        max_tokens=4,
        columns={"text": "the review", "label": "stars"},
        left_out=[{"file": "f.csv", "line": n, "reason": "the text is empty"} for n in range(2, 9)],
        notes=["f.csv: comma between columns"],
    )
    lines = card_text(card).splitlines()
    assert lines[:4] == [
        "Data of mood: classification, 2 classes",
        "Rows: train 4, dev 1",
        "Columns: text from 'the review', label from 'stars'",
        "Classes: 'glad' 3, 'sad' 2",
    ]
    assert "Rows left out: 7" in lines
    assert "  f.csv, line 2: the text is empty" in lines
    assert "  f.csv, line 6: the text is empty" in lines
    assert "  and 2 more" in lines
    assert "Note: f.csv: comma between columns" in lines
    assert [line for line in lines if line.startswith("Hint: ")] == [
        f"Hint: {hint}" for hint in card["hints"]
    ]


def test_the_text_of_150_classes_is_short_and_names_the_most_and_the_least_frequent():
    names = tuple(f"class {number}" for number in range(150))
    labels = [number for number in range(150) for _ in range(150 - number)]
    texts = [f"a {number}" for number in range(len(labels))]
    task = Classification("intents", names, pair=False)
    left_out = [{"file": "f.csv", "line": n, "reason": "the text is empty"} for n in range(500)]
    text = card_text(_card({"train": _examples(texts, labels)}, task, left_out=left_out))
    assert len(text.splitlines()) < 25
    assert max(map(len, text.splitlines())) < 500
    assert "most frequent 'class 0' 150, 'class 1' 149" in text
    assert "'class 149' 1" in text and "'class 75'" not in text


def test_many_rows_are_described_in_seconds():
    texts = [f"a b c {number}" for number in range(50_000)]
    started = time.monotonic()
    _card({"train": _examples(texts, np.arange(50_000) % 2)})
    assert time.monotonic() - started < 15
