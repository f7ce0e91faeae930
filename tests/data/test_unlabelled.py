"""Texts without labels beside a task's sets."""

import dataclasses
import json
import logging

import numpy as np
import pytest

from tests.training.tiny_training import tiny_examples
from tf_efficientbert.data import snippets
from tf_efficientbert.data.batching import joined
from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.data.unlabelled import UnlabelledOptions, read_unlabelled, with_unlabelled
from tf_efficientbert.errors import UserError

_TRAIN = "text,label\nI like it,good\nI don't,bad\n"
_DEV = "text,label\nSo nice!,good\nSo sad.,bad\n"
_TEST = "text,label\nNever again,bad\nOnce more,good\n"


@pytest.fixture
def own(tmp_path):
    """Returns (options, data) of a small task of the user's own."""
    files = {}
    for split, content in {"train": _TRAIN, "dev": _DEV, "test": _TEST}.items():
        (tmp_path / f"{split}.csv").write_text(content, "utf-8")
        files[f"{split}_file"] = str(tmp_path / f"{split}.csv")
    options = TaskOptions(**files)
    return options, TaskData(options)


def _write(tmp_path, content, name="more.csv"):
    path = tmp_path / name
    path.write_text(content, "utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("more.csv", "text\nQuite good\nRather bad\n"),
        ("more.csv", "id,label,text\n1,,Quite good\n2,bad,Rather bad\n"),
        ("more.tsv", "text\tsource\nQuite good\tweb\nRather bad\tweb\n"),
        (
            "more.jsonl",
            "".join(json.dumps({"text": t}) + "\n" for t in ("Quite good", "Rather bad")),
        ),
        ("more.json", json.dumps([{"text": "Quite good"}, {"text": "Rather bad"}])),
    ],
)
def test_texts_come_in_any_format_and_labels_are_ignored(own, tmp_path, name, content):
    texts = _read(_write(tmp_path, content, name), own)
    assert sorted(texts.texts) == ["Quite good", "Rather bad"]
    assert texts.labels is None and texts.second_texts is None


def test_texts_of_the_sets_and_repeated_ones_are_left_out_and_counted(own, tmp_path, caplog):
    rows = ["SO NICE", "once   more!", "i like it", "Quite good", "quite good.", "Rather bad"]
    path = _write(tmp_path, "text\n" + "\n".join(rows) + "\n")
    with caplog.at_level(logging.INFO, "tf_efficientbert"):
        assert sorted(_read(path, own).texts) == ["Quite good", "Rather bad"]
    assert (
        "more.csv: uses 2 of 6 texts without labels; left out: 2 that are in the dev or test set, "
        "2 repeated or in the training set"
    ) in caplog.text


def test_a_file_that_has_only_texts_of_the_sets_is_an_error(own, tmp_path):
    path = _write(tmp_path, "text\nso sad\nnever again\nI don't\n")
    message = "of 3 texts none is left; left out: 2 that are in the dev or test set, 1 repeated or"
    with pytest.raises(UserError, match=message):
        _read(path, own)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,second_text\na b,c d\n", "the model takes single texts, but the text columns are"),
        ("words\na b\n", "no column has a name for texts"),
        ("text\n \nfine\n", "more.csv, line 2: the text is empty"),
        ("", "more.csv"),
    ],
)
def test_a_file_that_does_not_fit_is_named(own, tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        _read(_write(tmp_path, content), own)


def test_a_missing_file_is_named(own):
    with pytest.raises(UserError, match=r"absent\.csv"):
        _read("absent.csv", own)


def test_the_text_column_has_the_name_that_the_flag_gives(tmp_path):
    train = _write(tmp_path, "words,label\nI like it,good\nI don't,bad\n", "train.csv")
    options = TaskOptions(train_file=train, dev_file=train, split="90/10/0", text_column="words")
    more = _write(tmp_path, "words,text\nyes,no\n")
    assert _read(more, (options, TaskData(options))).texts == ("yes",)


def test_the_default_task_s_snippets_have_no_text_of_its_sets():
    options = TaskOptions()
    texts = _read("snippets", (options, TaskData(options))).texts
    assert sorted(texts) == sorted(snippets.unlabelled())


def test_texts_of_the_whole_dev_and_test_set_are_left_out_although_a_limit_draws_fewer():
    options = TaskOptions(limit=20)
    data = TaskData(options)
    assert [len(each) for each in data.whole_scored_sets()] == [600, 3000]
    texts = _read("snippets", (options, data), share=0.5).texts
    assert len(texts) == 20


@pytest.mark.parametrize(("share", "count"), [(0.5, 2), (0.6, 3), (0.75, 6), (0.99, 9)])
def test_at_most_a_share_is_drawn_the_same_in_every_job(own, tmp_path, share, count):
    path = _write(tmp_path, "text\n" + "".join(f"number {i}\n" for i in range(9)))
    texts = _read(path, own, share).texts
    assert len(texts) == len(set(texts)) == count
    assert _read(path, own, share).texts == texts
    assert _read(path, own, 0.99).texts[:count] == texts


def test_a_share_of_less_than_one_text_is_an_error(own, tmp_path):
    path = _write(tmp_path, "text\nfine\n")
    with pytest.raises(UserError, match="--unlabelled_share=0.3 of 2 training .* less than one"):
        _read(path, own, share=0.3)


def _read(path, own, share=0.75):
    return read_unlabelled(path, share, *own)


@pytest.mark.parametrize("labelled", [True, False])
def test_unlabelled_examples_come_after_the_others(labelled):
    """Labels stay only if the unlabelled examples got some from the teacher."""
    first = dataclasses.replace(tiny_examples(12), labels=np.arange(12, dtype=np.float32))
    more = tiny_examples(5)
    if labelled:
        more = dataclasses.replace(more, labels=np.full(5, -1, np.float32))
    examples = with_unlabelled(first, more)
    assert _rows(examples) == _rows(first) + _rows(more)
    assert (examples.labels is not None) == labelled
    if labelled:
        assert examples.labels.tolist() == [*range(12), *[-1] * 5]


def test_only_like_sets_can_be_joined():
    examples = tiny_examples(3)
    labelled = dataclasses.replace(examples, labels=np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="only one of the sets has labels"):
        joined(examples, labelled)
    with pytest.raises(ValueError, match="max_tokens differ: None and 9"):
        joined(examples, dataclasses.replace(examples, max_tokens=9))


def _rows(examples):
    return [
        tuple(examples.token_ids[slice(*examples.offsets[i : i + 2])]) for i in range(len(examples))
    ]


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, float("nan")])
def test_an_invalid_share_is_an_error(share):
    with pytest.raises(UserError, match="--unlabelled_share=.*: expected a number between 0 and 1"):
        UnlabelledOptions(unlabelled_share=share)


def test_a_share_without_a_file_is_an_error():
    with pytest.raises(UserError, match="--unlabelled_share has no effect without --unlabelled_f"):
        UnlabelledOptions(unlabelled_share=0.5)


def test_unlabelled_texts_need_a_teacher_that_is_a_model():
    options = UnlabelledOptions(unlabelled_file="more.csv")
    options.require_no_predictions("")
    with pytest.raises(UserError, match="--unlabelled_file and --teacher_predictions exclude"):
        options.require_no_predictions("predictions.jsonl")
    UnlabelledOptions().require_no_predictions("predictions.jsonl")
