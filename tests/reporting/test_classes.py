import re
from html import unescape

import pytest

from tf_efficientbert.reporting.classes import classes_table, confusion

_NAMES = [
    "change of address",
    "fees, charges & taxes",
    "<b>bold</b>",
    "Überweisung",
    "残高照会",
    "رصيد الحساب",
    "उधार",
]


def _class(label, f1, support=20):
    return {"label": label, "precision": 0.75, "recall": 0.5, "f1": f1, "support": support}


def _rows(html):
    """Returns the rows of a table as lists of texts."""
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in html.split("<tr")[1:]]
    return [[unescape(cell).replace("\N{NO-BREAK SPACE}", " ") for cell in row] for row in rows]


def test_each_of_a_few_classes_has_its_scores():
    drawn = classes_table("searched", [_class("sad", 0.6), _class("glad", 0.125, support=1)])
    assert _rows(drawn) == [
        ["class", "precision", "recall", "F1", "examples"],
        ["sad", "75.0 %", "50.0 %", "60.0 %", "20"],
        ["glad", "75.0 %", "50.0 %", "12.5 %", "1"],
    ]
    assert "searched" in drawn


def test_class_names_are_escaped():
    drawn = classes_table("searched", [_class(name, 0.5) for name in _NAMES])
    assert [row[0] for row in _rows(drawn)[1:]] == _NAMES
    assert "<b>" not in drawn


def test_of_many_classes_the_ten_of_lowest_f1_are_shown():
    classes = [_class(f"class {number}", f1=(number * 37 % 150) / 150) for number in range(150)]
    drawn = classes_table("searched", classes)
    shown = [row[0] for row in _rows(drawn)[1:]]
    worst = sorted(classes, key=lambda each: each["f1"])[:10]
    assert shown == [each["label"] for each in worst]
    assert "the 10 of 150 classes with the lowest F1" in drawn


def test_a_class_without_examples_has_no_recall_and_is_not_among_the_worst():
    few = classes_table("searched", [_class("sad", 0.6), _class("glad", 0.0, support=0)])
    assert _rows(few)[2] == ["glad", "75.0 %", "–", "–", "0"]
    many = [_class(f"class {number}", 0.5) for number in range(14)] + [_class("rare", 0.0, 0)] * 2
    drawn = classes_table("searched", many)
    assert "rare" not in drawn and "(2 without examples left out)" in drawn


def test_without_classes_there_is_no_table():
    assert classes_table("searched", []) is None


def _counts(size, **others):
    counts = [[40 if row == column else 0 for column in range(size)] for row in range(size)]
    for place, count in others.items():
        row, column = map(int, place.removeprefix("at").split("_"))
        counts[row][column] = count
    return counts


@pytest.mark.parametrize("size", [2, 12])
def test_up_to_twelve_classes_have_a_matrix(size):
    drawn = confusion("searched", list(range(size)), _counts(size))
    assert drawn.count("background:rgb") == size**2


def test_more_classes_have_their_most_confused_pairs():
    names = [*_NAMES, *(f"class {number}" for number in range(143))]
    drawn = confusion("searched", names, _counts(150, at1_2=10, at4_5=60, at2_1=2))
    assert _rows(drawn) == [
        ["true class", "predicted class", "examples", "share of the true class"],
        ["残高照会", "رصيد الحساب", "60", "60.0 %"],
        ["fees, charges & taxes", "<b>bold</b>", "10", "20.0 %"],
        ["<b>bold</b>", "fees, charges & taxes", "2", "4.8 %"],
    ]
    assert "<b>" not in drawn


def test_at_most_ten_pairs_are_shown_ordered_by_count_then_share():
    counts = [[0 if row == column else 1 for column in range(13)] for row in range(13)]
    counts[12] = [0] * 11 + [1, 0]
    rows = _rows(confusion("searched", list(range(13)), counts))
    assert len(rows) == 11
    assert rows[1] == ["12", "11", "1", "100.0 %"]


def test_many_classes_without_confusion_have_no_pairs():
    drawn = confusion("searched", list(range(20)), _counts(20))
    assert "no class was confused with another" in drawn and "<table" not in drawn
