"""A file of probabilities in place of a teacher."""

import json

import numpy as np
import pytest

from tests.models.small_text_models import TASKS
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.distillation.teacher_predictions import read_predictions
from tf_efficientbert.errors import UserError

_TASK = TASKS["classification"]  # of three classes
_EXAMPLES = Examples(("one", "two"), None, np.array([0, 2], np.int32), ("7", "8"))
_PREDICTIONS = {"one": [0.7, 0.2, 0.1], "two": [0.0, 0.5, 0.5]}


def _row(name, row, key="text"):
    return {key: name, "probabilities": dict(zip(_TASK.labels, row, strict=True))}


@pytest.fixture
def read(tmp_path):
    def read(rows, task=_TASK, examples=_EXAMPLES):
        path = tmp_path / "predictions.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        return read_predictions(str(path), examples, task)

    return read


def test_probabilities_are_matched_by_text_in_any_order(read):
    rows = [_row(name, row) for name, row in reversed(_PREDICTIONS.items())]
    np.testing.assert_allclose(read(rows), list(_PREDICTIONS.values()))


def test_probabilities_are_matched_by_id(read):
    rows = [_row(i, row, "id") for i, row in zip((7, 8), _PREDICTIONS.values(), strict=True)]
    np.testing.assert_allclose(read(rows), list(_PREDICTIONS.values()))
    without = Examples(_EXAMPLES.texts, None, None)
    with pytest.raises(UserError, match="names examples by id.*--id_column"):
        read(rows, examples=without)


def test_lines_are_matched_by_text_if_an_id_is_missing(read):
    rows = [{**_row(name, row), "id": i} for i, (name, row) in enumerate(_PREDICTIONS.items())]
    without = Examples(_EXAMPLES.texts, None, None)
    np.testing.assert_allclose(read(rows, examples=without), list(_PREDICTIONS.values()))
    del rows[1]["id"]  # one line without an id
    np.testing.assert_allclose(read(rows), list(_PREDICTIONS.values()))


def test_a_value_beyond_float32_is_rejected(read):
    for value in (1e300, 10**400):
        with pytest.raises(UserError, match="line 1: value is .*, expected a finite number"):
            read([{"text": "one", "value": value}], TASKS["regression"])


def test_rounded_probabilities_are_normalized(read):
    rows = [_row("one", [0.7, 0.2, 0.09]), _row("two", _PREDICTIONS["two"])]
    np.testing.assert_allclose(read(rows).sum(axis=1), 1)


def test_probabilities_of_a_multilabel_task_need_not_add_up(read):
    rows = [_row("one", [0.9, 0.9, 0.0]), _row("two", [0.0, 0.0, 0.0])]
    assert read(rows, TASKS["multilabel"]).tolist() == [[0.9, 0.9, 0], [0, 0, 0]]


def test_a_regression_reads_values(read):
    rows = [{"text": "one", "value": 1.5}, {"text": "two", "value": -2}]
    assert read(rows, TASKS["regression"]).tolist() == [1.5, -2]


_GOOD = [_row(name, row) for name, row in _PREDICTIONS.items()]
_BAD = {
    "a label is missing": (
        [{"text": "one", "probabilities": {_TASK.labels[0]: 1}}],
        "line 1: .*each label",
    ),
    "above 1": ([_row("one", [1.2, 0, 0])], "line 1: .*expected numbers from 0 to 1"),
    "a sum of 2": ([_row("one", [1, 0.5, 0.5])], "line 1: probabilities add up to 2"),
    "no text": (
        [{"probabilities": _row("", _PREDICTIONS["one"])["probabilities"]}],
        "line 1: no text",
    ),
    "a second text alone": (
        [{**_GOOD[0], "second_text": "two"}, {**_GOOD[1], "text": None, "second_text": "two"}],
        "line 2: no text",
    ),
    "a truth value": ([_row("one", [True, 0, 0])], "line 1: .*expected numbers from 0 to 1"),
    "another key": ([{**_GOOD[0], "answer": "sad"}], "unknown key 'answer'"),
    "an example left out": (_GOOD[:1], "1 of 2 training examples are missing.*'two'"),
    "two that differ": ([*_GOOD, _row("one", _PREDICTIONS["two"])], "line 3: 'one' has another"),
}


@pytest.mark.parametrize(("rows", "message"), _BAD.values(), ids=_BAD)
def test_the_message_describes_the_error(read, rows, message):
    with pytest.raises(UserError, match=message):
        read(rows)
