import re

import pytest

from tf_efficientbert.reporting.data_card import data_section
from tf_efficientbert.reporting.markup import join

from .reports import data_card


def _html(card):
    return str(join(data_section(card)))


def _text(html):
    return re.sub(r"<[^>]*>", " ", html).replace("\N{NO-BREAK SPACE}", " ")


def test_facts_hints_notes_and_rows_left_out_are_shown():
    text = _text(_html(data_card()))
    for part in (
        "train 2,400, dev 600, test 600",
        "text: review, label: stars",
        "classification, 2 classes",
        "median 24, 95 % up to 61, 99 % up to 80, longest 700",
        "144 (4.0 %), at 64 tokens",
        "train/dev 2, train/test 0, dev/test 0",
        "0.31 %",
        "144 of 3,600 texts are longer than 64 tokens and are cut there",
        "Comma between columns",
        "2 rows left out",
        "the text is empty",
    ):
        assert part in text, part


def test_a_regression_shows_its_targets_and_no_chart_of_classes():
    card = data_card() | {
        "kind": "regression",
        "labels": {},
        "labels_by_split": {},
        "targets": {"min": -1.0, "mean": 2.25, "max": 5.0},
    }
    html = _html(card)
    assert "-1 to 5, mean 2.25" in html
    assert html.count("<svg") == 1 and "Lengths of texts" in html


def test_the_chart_of_lengths_marks_where_texts_are_cut():
    assert ">cut at 64 tokens<" in _html(data_card())
    card = data_card() | {"hints": []}
    card["tokens"] |= {"max_tokens": 512, "cut": 0, "cut_count": 0, "max": 180}
    html = _html(card)
    assert ">cut at" not in html
    assert "none at 512 tokens" in html


def test_a_note_says_that_the_last_bar_has_all_longer_texts():
    assert "the last bar counts all up to 700 tokens" in _html(data_card())
    card = data_card()
    card["tokens"]["max"] = 190
    assert "the last bar" not in _html(card)


@pytest.mark.parametrize("name", ["two words", "a, b & c", "<b>$\\frac$</b>", "残高照会", "رصيد"])
def test_class_names_are_listed_beside_the_chart(name):
    html = _html(data_card({name: 5, "other": 1}))
    assert name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in html
    assert "<b>" not in html
    drawing = html[html.index("<svg", html.index("Classes")) :]
    assert "Frequency of 2 classes in 3 splits" in drawing


def test_150_classes_give_a_small_chart_without_names():
    labels = {f"class {number}": 300 - number for number in range(150)}
    html = _html(data_card(labels))
    assert "class 149" not in html
    assert "Frequency of 150 classes in 3 splits" in html
    assert len(html) < 60_000


def test_of_many_rows_left_out_the_first_are_listed_and_all_are_counted():
    rows = [{"file": "f", "line": line, "reason": "no label"} for line in range(1, 5001)]
    text = _text(_html(data_card() | {"left_out": rows}))
    assert "5,000 rows left out" in text
    assert text.count("no label") == 100
    assert "report.json lists 4,900 more" in text


def test_without_a_card_there_is_no_section():
    assert data_section({}) is None
