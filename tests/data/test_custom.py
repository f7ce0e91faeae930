import json

import numpy as np
import pytest

from tf_efficientbert.data.custom import load
from tf_efficientbert.errors import UserError

_LABELS = ("bad", "good")


@pytest.fixture
def write(tmp_path):
    def write(name: str, content: str | bytes):
        path = tmp_path / name
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        return path

    return write


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("mood.tsv", "sentence\tlabel\nI like it\tgood\nI don't\tbad\n"),
        ("mood.TSV", "\ufefflabel\tsentence\r\ngood\tI like it\r\nbad\tI don't\r\n\r\n"),
        (
            "mood.jsonl",
            '{"sentence": "I like it", "label": "good"}\n{"label": "bad", "sentence": "I don\'t"}',
        ),
    ],
    ids=["tsv", "tsv from a spreadsheet", "jsonl"],
)
def test_single_sentences_are_read_with_class_indices_in_label_order(write, name, content):
    examples = load(write(name, content), _LABELS)
    assert examples.sentences == ("I like it", "I don't")
    assert examples.second_sentences is None
    assert examples.labels.dtype == np.int32
    assert examples.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("like.tsv", "sentence\tsentence2\tlabel\na\tb\t2.5\nc\td\t-1e-1\n"),
        (
            "like.jsonl",
            """{"sentence2": "b", "sentence": "a", "label": 2.5}
{"sentence": "c", "sentence2": "d", "label": "-0.1"}""",
        ),
    ],
)
def test_pairs_with_scores_are_read_as_regression(write, name, content):
    examples = load(write(name, content), None)
    assert (examples.sentences, examples.second_sentences) == (("a", "c"), ("b", "d"))
    assert examples.labels.dtype == np.float32
    np.testing.assert_array_equal(examples.labels, np.float32([2.5, -0.1]))


def test_quotes_and_unicode_line_separators_are_text(write):
    path = write("mood.tsv", 'sentence\tlabel\n"half a quote\tgood\na\u2028b\x0cc\x85d\tbad\n')
    assert load(path, _LABELS).sentences == ('"half a quote', "a\u2028b\x0cc\x85d")


def test_a_label_that_is_an_integer_in_json_stands_for_its_name(write):
    path = write("mood.jsonl", '{"sentence": "a", "label": 1}\n{"sentence": "b", "label": "0"}')
    assert load(path, ("0", "1")).labels.tolist() == [1, 0]


@pytest.mark.parametrize("label", ["true", "1.0"])
def test_no_other_json_value_stands_for_a_name(write, label):
    path = write("mood.jsonl", f'{{"sentence": "a", "label": {label}}}')
    with pytest.raises(UserError, match="line 1: label (True|1.0) is not one of 'True', '1.0'"):
        load(path, ("True", "1.0"))


@pytest.mark.parametrize(
    ("name", "content"), [("new.tsv", "sentence\nhello\n"), ("new.jsonl", '{"sentence": "hello"}')]
)
def test_labels_may_be_missing_only_where_they_are_not_required(write, name, content):
    path = write(name, content)
    assert load(path, _LABELS, require_labels=False).labels is None
    with pytest.raises(UserError, match="line 1: 'label' is missing"):
        load(path, _LABELS)


def test_labels_that_are_there_are_read_where_they_are_not_required(write):
    path = write("mood.tsv", "sentence\tlabel\nhello\tgood\n")
    assert load(path, _LABELS, require_labels=False).labels.tolist() == [1]


_BAD_TSV = {
    "empty file": ("", "the file is empty"),
    "blank lines only": ("\n\n", "the file is empty"),
    "header only": ("sentence\tlabel\n", "holds no examples"),
    "no header": ("I like it\tgood\n", "line 1: 'I like it' is not a known column"),
    "misspelt column": ("sentense\tlabel\na\tgood\n", "line 1: 'sentense' is not a known column"),
    "no sentence": ("label\ngood\n", "line 1: 'sentence' is missing"),
    "column twice": ("sentence\tsentence\tlabel\na\tb\tgood\n", "line 1: a column stands twice"),
    "too few fields": (
        "sentence\tlabel\na\tgood\nb\n",
        "line 3: 1 tab-separated fields, expected 2: 'b'",
    ),
    "too many fields": (
        "sentence\tlabel\na\tb\tgood\n",
        r"line 2: 3 tab-separated fields, expected 2: 'a\\tb\\tgood'",
    ),
    "blank line inside": ("sentence\tlabel\na\tgood\n\nb\tbad\n", "line 3: 1 tab-separated fields"),
    "unknown label": (
        "sentence\tlabel\na\tgood\nb\tGood\n",
        "line 3: label 'Good' is not one of 'bad', 'good'",
    ),
    "empty sentence": ("sentence\tlabel\n \tgood\n", "line 2: empty sentence"),
    "NUL": ("sentence\tlabel\na\0\tgood\n", "line 2: NUL character at column 2"),
    "not UTF-8": (b"sentence\tlabel\ncaf\xe9\tgood\n", "line 2: not UTF-8: byte 0xe9"),
}


@pytest.mark.parametrize(("content", "message"), _BAD_TSV.values(), ids=_BAD_TSV.keys())
def test_what_is_wrong_in_a_tsv_file_is_named_with_file_and_line(write, content, message):
    with pytest.raises(UserError, match=rf"mood\.tsv(, |: ){message}"):
        load(write("mood.tsv", content), _LABELS)


_GOOD_LINE = json.dumps({"sentence": "a", "label": "good"})

_BAD_JSON = {
    "empty file": ("", "mood.jsonl: the file is empty"),
    "broken JSON": (_GOOD_LINE + '\n{"sentence": "b"', "line 2: not valid JSON: .* at column 17"),
    "not an object": ('["a", "good"]', "line 1: not a JSON object"),
    "missing sentence": ('{"label": "good"}', "line 1: 'sentence' is missing"),
    "missing label later": (
        _GOOD_LINE + '\n{"sentence": "b"}',
        r"line 2: keys are \['sentence'\] but the first example has",
    ),
    "second sentence later": (
        _GOOD_LINE + '\n{"sentence": "b", "sentence2": "c", "label": "bad"}',
        "line 2: keys are",
    ),
    "unknown key": ('{"sentence": "a", "label": "good", "id": 7}', "line 1: 'id' is not a known"),
    "sentence is a number": ('{"sentence": 7, "label": "good"}', "line 1: sentence 7 is not a str"),
    "sentence is null": ('{"sentence": null, "label": "good"}', "line 1: sentence None is not"),
    "half a character": (
        r'{"sentence": "\ud800", "label": "good"}',
        "line 1: sentence .* unpaired surrogate",
    ),
    "escaped NUL": (r'{"sentence": "a\u0000", "label": "good"}', "line 1: sentence .* NUL"),
    "empty sentence": ('{"sentence": "", "label": "good"}', "line 1: empty sentence"),
    "label is null": ('{"sentence": "a", "label": null}', "line 1: label None is not one of"),
    "label is a list": ('{"sentence": "a", "label": ["good"]}', "line 1: label .* is not one of"),
    "label is true": ('{"sentence": "a", "label": true}', "line 1: label True is not one of"),
}


@pytest.mark.parametrize(("content", "message"), _BAD_JSON.values(), ids=_BAD_JSON.keys())
def test_what_is_wrong_in_a_jsonl_file_is_named_with_file_and_line(write, content, message):
    with pytest.raises(UserError, match=message):
        load(write("mood.jsonl", content), _LABELS)


@pytest.mark.parametrize("label", ["", "five", "nan", "inf", "-Infinity", "1e39", "1,5"])
def test_a_score_that_is_no_finite_number_is_refused(write, label):
    path = write("like.tsv", f"sentence\tlabel\na\t1\nb\t{label}\n")
    with pytest.raises(UserError, match=f"line 3: label '{label}' is not a finite number"):
        load(path, None)


@pytest.mark.parametrize("label", ["NaN", "Infinity", "true", "null", "[1]", "1" + "0" * 400])
def test_a_json_score_that_is_no_finite_number_is_refused(write, label):
    path = write("like.jsonl", f'{{"sentence": "a", "label": {label}}}')
    with pytest.raises(UserError, match="line 1: label .* is not a finite number"):
        load(path, None)


@pytest.mark.parametrize("name", ["mood.csv", "mood"])
def test_an_unknown_extension_is_refused_with_the_known_ones(write, name):
    with pytest.raises(UserError, match=rf"{name}: extension is .*'\.tsv', '\.jsonl'"):
        load(write(name, "sentence\tlabel\na\tgood\n"), _LABELS)


@pytest.mark.parametrize("name", ["absent.tsv", "absent.jsonl"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(UserError, match=f"{name}: no such file"):
        load(tmp_path / name, _LABELS)


def test_a_directory_is_refused(tmp_path):
    folder = tmp_path / "folder.tsv"
    folder.mkdir()
    with pytest.raises(UserError, match="is a directory"):
        load(folder, _LABELS)


def test_an_empty_list_of_labels_is_not_taken_for_regression(write):
    with pytest.raises(UserError, match="labels is an empty list"):
        load(write("mood.tsv", "sentence\tlabel\na\t1\n"), [])
