import json

import pytest

from tf_efficientbert.data.json_file import read_json_array, read_json_lines
from tf_efficientbert.data.tabular import Row
from tf_efficientbert.errors import UserError


def test_each_line_is_a_row_with_its_own_types():
    table = read_json_lines("f.jsonl", '{"text": "a\\nb", "label": 1}\n{"labels": ["x"]}\n')
    assert table.columns == ("text", "label", "labels")
    assert table.rows == (
        Row(1, {"text": "a\nb", "label": 1, "labels": None}),
        Row(2, {"text": None, "label": None, "labels": ["x"]}),
    )
    assert table.notes == ("one JSON object per line",)


def test_lines_that_are_not_objects_are_bad_rows():
    text = '{"a": 1}\n{"a" 2}\n\n[3]\n"text"\n{"a": "\\ud83d"}\n{"a": ' + "9" * 5000 + "}\n \n\n"
    table = read_json_lines("f.jsonl", text)
    assert [row.values for row in table.rows] == [{"a": 1}]
    reasons = {row.line: row.reason for row in table.bad_rows}
    assert reasons[2].startswith("not valid JSON: Expecting ':' delimiter at column 6: '{")
    assert reasons[3] == "empty line"
    assert reasons[4] == "not a JSON object: [3]"
    assert reasons[5] == "not a JSON object: 'text'"
    assert reasons[6] == "holds an unpaired surrogate"
    assert reasons[7].startswith("JSON cannot be read")
    assert list(reasons) == [2, 3, 4, 5, 6, 7]


def test_unicode_line_separators_do_not_end_a_line():
    rows = [{"text": "a\u2028b\x85c"}, {"text": "d"}]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    assert [row.values for row in read_json_lines("f.jsonl", text).rows] == rows


@pytest.mark.parametrize("read", [read_json_lines, lambda f, line: read_json_array(f, f"[{line}]")])
def test_numbers_that_are_not_finite_are_read(read):
    values = read("f", '{"a": NaN, "b": -Infinity}').rows[0].values
    assert values["a"] != values["a"] and values["b"] == float("-inf")


def test_an_array_is_numbered_by_its_elements():
    table = read_json_array("f.json", '[\n {"a": 1},\n\n {"a": null}, 5, {"b": "\\u0000"}]')
    assert table.rows == (Row(1, {"a": 1}), Row(2, {"a": None}))
    assert [(row.line, row.reason) for row in table.bad_rows] == [
        (3, "not a JSON object: 5"),
        (4, "holds a NUL character"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"text": ["a", "b"]}', r"f.json: expected a JSON array of objects, found an object with"),
        ("3", "f.json: expected a JSON array of objects, found a value"),
        ('[{"a": 1},\n {"a" 2}]', "f.json, line 2: not valid JSON: .* at column 7"),
        ('{"a": 1}\n{"a": 2}\n', "f.json, line 2: .*; a file of one object per line must be"),
        (" \n", "f.json: the file is empty"),
    ],
    ids=["columns", "number", "broken", "lines", "empty"],
)
def test_json_that_is_not_an_array_is_an_error(text, message):
    with pytest.raises(UserError, match=message):
        read_json_array("f.json", text)


def test_an_empty_file_of_lines_is_an_error():
    with pytest.raises(UserError, match="f.jsonl: the file is empty"):
        read_json_lines("f.jsonl", "\n")
