import dataclasses

import numpy as np
import pytest

from tf_efficientbert.data import reviews
from tf_efficientbert.data.glue import TASKS
from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.errors import UserError

_BAD_OPTIONS = {
    "no train file": ({"task": "custom", "dev_file": "d"}, "--task=custom needs --train_file"),
    "no dev file": ({"task": "custom", "train_file": "t"}, "--task=custom needs --dev_file"),
    "labels of a shipped task": ({"labels": "a,b"}, "--labels=a,b goes with --task=custom"),
    "file of a GLUE task": (
        {"task": "RTE", "data_dir": "glue", "test_file": "x.tsv"},
        "--test_file=x.tsv goes with --task=custom, not --task=RTE",
    ),
    "GLUE without a folder": ({"task": "sst-2"}, "--task=sst-2 needs --data_dir"),
    "unknown task": ({"task": "mood"}, "'mood' is not a GLUE task; the tasks are .*CoLA"),
    "negative limit": ({"limit": -1}, "--limit=-1: expected 0 or more"),
    "too few tokens": ({"max_tokens": 3}, "--max_tokens=3: expected 4 or more"),
}


@pytest.fixture
def custom(tmp_path):
    """Writes train.tsv, dev.tsv, ... as they are given and reads them as a custom task."""

    def custom(files: dict[str, str], **options) -> TaskData:
        for split, content in files.items():
            path = tmp_path / f"{split}.tsv"
            path.write_text(content, "utf-8")
            options[f"{split}_file"] = str(path)
        return TaskData(TaskOptions(task="custom", **options))

    return custom


@pytest.mark.parametrize(("options", "message"), _BAD_OPTIONS.values(), ids=_BAD_OPTIONS)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        TaskOptions(**options)


def test_without_options_the_shipped_reviews_are_the_task():
    data = TaskData(TaskOptions())
    assert data.task == reviews.TASK and data.score_split == "test"
    for split in ("train", "dev", "test"):
        assert data.load(split).sentences == reviews.load(split).sentences


def test_a_glue_job_s_input_is_its_task_s_files_and_no_other(tmp_path):
    (tmp_path / "SST-2").mkdir()
    for name in ("train.tsv", "dev.tsv", "notes.txt"):
        (tmp_path / "SST-2" / name).touch()
    (field,) = (f for f in dataclasses.fields(TaskOptions) if f.name == "data_dir")
    files = [str(tmp_path / "SST-2" / name) for name in ("train.tsv", "dev.tsv")]
    for data_dir, task in ((tmp_path, "sst-2"), (tmp_path / "SST-2", "SST-2")):
        options = TaskOptions(task=task, data_dir=str(data_dir))
        assert field.metadata["part"](options) == ",".join([*files, "test.tsv"])
    assert field.metadata["part"](TaskOptions()) == ""


def test_a_limit_takes_the_first_examples_of_each_split():
    data = TaskData(TaskOptions(limit=7))
    for split in ("train", "dev"):
        ours, whole = data.load(split), reviews.load(split)
        assert ours.sentences == whole.sentences[:7]
        np.testing.assert_array_equal(ours.labels, whole.labels[:7])
    assert len(TaskData(TaskOptions(limit=10**6)).load("dev")) == len(reviews.load("dev"))


_MOODS = "sentence\tlabel\nI like it\tgood\nI don't\tbad\n"


def test_a_custom_classification_has_its_classes_in_the_given_order(custom):
    data = custom({"train": _MOODS, "dev": _MOODS, "test": _MOODS}, labels=" good, bad,")
    assert (data.task.labels, data.task.pair, data.task.is_regression) == (
        ("good", "bad"),
        False,
        False,
    )
    assert data.load("test").labels.tolist() == [0, 1]


def test_a_custom_regression_has_no_labels(custom):
    text = "sentence\tlabel\na\t1.5\nb\t-2\n"
    data = custom({"train": text, "dev": text})
    assert data.task.is_regression and data.task.num_outputs == 1
    assert data.load("dev").labels.tolist() == [1.5, -2.0]


def test_a_second_sentence_makes_a_custom_task_one_of_pairs(custom):
    text = "sentence\tsentence2\tlabel\na\tb\tyes\nc\td\tno\n"
    data = custom({"train": text, "dev": text}, labels="no,yes", limit=1)
    assert data.task.pair
    assert data.load("dev").second_sentences == ("b",)


_PAIRS = "sentence\tsentence2\tlabel\na\tb\tgood\n"


@pytest.mark.parametrize(
    ("train", "dev", "expected"),
    [(_MOODS, _PAIRS, "single sentences"), (_PAIRS, _MOODS, "pairs")],
)
def test_the_splits_of_a_custom_task_all_have_pairs_or_none_has(custom, train, dev, expected):
    data = custom({"train": train, "dev": dev}, labels="good,bad")
    with pytest.raises(UserError, match=rf"dev\.tsv: expected {expected}"):
        data.load("dev")


def test_what_is_wrong_in_a_custom_file_is_named_with_its_line(custom):
    data = custom({"train": _MOODS, "dev": _MOODS + "so so\tmeh\n"}, labels="good,bad")
    with pytest.raises(UserError, match=r"dev\.tsv, line 4: label 'meh' is not one of"):
        data.load("dev")


@pytest.mark.parametrize(("labels", "shown"), [("good,bad,good", "'good', 'bad', 'good'")])
def test_labels_that_are_no_set_are_refused(custom, labels, shown):
    with pytest.raises(UserError, match=shown):
        custom({"train": _MOODS, "dev": _MOODS}, labels=labels)


def test_a_custom_task_without_a_test_file_is_scored_on_dev(custom):
    data = custom({"train": _MOODS, "dev": _MOODS}, labels="good,bad")
    assert data.score_split == "dev"
    with pytest.raises(UserError, match="--test_file is missing"):
        data.load("test")


def test_a_custom_task_with_a_test_file_is_scored_on_it(custom):
    data = custom(dict.fromkeys(("train", "dev", "test"), _MOODS), labels="good,bad")
    assert data.score_split == "test"


def test_a_glue_task_is_read_from_its_folder_and_scored_on_dev(tmp_path):
    (tmp_path / "SST-2").mkdir()
    for split, text in {"train": "fun \t1\ndull\t0\n", "dev": "bad\t0\n"}.items():
        (tmp_path / "SST-2" / f"{split}.tsv").write_text("sentence\tlabel\n" + text, "utf-8")
    (tmp_path / "SST-2" / "test.tsv").write_text("index\tsentence\n0\tso\n", "utf-8")
    data = TaskData(TaskOptions(task="sst-2", data_dir=str(tmp_path)))
    assert data.task == TASKS["SST-2"] and data.score_split == "dev"
    assert data.load("train").sentences == ("fun ", "dull")
    assert data.load("dev").labels.tolist() == [0]
    assert data.load("test").labels is None


def test_a_glue_folder_without_the_task_is_named(tmp_path):
    data = TaskData(TaskOptions(task="RTE", data_dir=str(tmp_path)))
    with pytest.raises(UserError, match=f"RTE train: there is neither {tmp_path}/RTE/train.tsv"):
        data.load("train")
