import pytest

from tf_efficientbert.data.tabular import BadRow, Row, character_problem, table_of_objects


@pytest.mark.parametrize("value", ["", "naïve \U0001f600 \u2028\x85", 3, None, ["a", {"b": "é"}]])
def test_valid_text_has_no_problem(value):
    assert character_problem(value) == ""


@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: ["ok", t], lambda t: {"a": {t: [1]}}])
@pytest.mark.parametrize(
    ("text", "problem"), [("a\0b", "a NUL character"), ("a\ud83d", "an unpaired surrogate")]
)
def test_invalid_characters_are_found_at_any_depth(wrap, text, problem):
    assert character_problem(wrap(text)) == problem


def test_columns_are_those_of_all_records_by_first_appearance():
    table = table_of_objects("f", [(1, {"b": 1}), (4, {"a": None, "b": 2})], [], ("note",))
    assert table.columns == ("b", "a")
    assert table.rows == (Row(1, {"b": 1, "a": None}), Row(4, {"b": 2, "a": None}))
    assert table.notes == ("note",)


def test_bad_rows_are_in_the_order_of_their_lines():
    table = table_of_objects("f", [(1, {"a": "\0"}), (2, {"a": ""})], [BadRow(3, "why")], ())
    assert table.bad_rows == (BadRow(1, "holds a NUL character"), BadRow(3, "why"))
    assert [row.line for row in table.rows] == [2]
