import dataclasses

import numpy as np
import pytest

from tf_efficientbert.data import snippets
from tf_efficientbert.data.glue import TASKS
from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.errors import UserError

_BAD_OPTIONS = {
    "no file": ({"task": "custom"}, "--task=custom needs --train_file, or --tfds"),
    "labels of the default task": ({"labels": "a,b"}, "--labels=a,b goes with your own data"),
    "file of a GLUE task": (
        {"task": "RTE", "data_dir": "glue", "test_file": "x.tsv"},
        "--test_file=x.tsv goes with your own data, not with --task=RTE",
    ),
    "GLUE without a folder": ({"task": "sst-2"}, "--task=sst-2 needs --data_dir"),
    "unknown task": ({"task": "mood"}, "'mood' is not a GLUE task; the tasks are .*CoLA"),
    "negative limit": ({"limit": -1}, "--limit=-1: expected 0 or more"),
    "too few tokens": ({"max_tokens": 3}, "--max_tokens=3: expected 4 or more"),
    "shares of 110": ({"split": "80/20/10"}, "--split=80/20/10: expected three percentages"),
    "shares in words": ({"split": "most/some"}, "--split=most/some: expected three percentages"),
    "no training share": ({"split": "0/50/50"}, "--split=0/50/50: expected three percentages"),
    "unknown kind": ({"train_file": "t", "task_kind": "span"}, "--task_kind=span: expected one of"),
    "unknown metric": ({"metric": "bleu"}, "--metric=bleu: expected one of accuracy"),
    "unknown bad_rows": (
        {"train_file": "t", "bad_rows": "drop"},
        "--bad_rows=drop: expected",
    ),
    "two lists of labels": (
        {"train_file": "t", "labels": "a,b", "labels_file": "l"},
        "--labels and --labels_file exclude each other",
    ),
    "a file and a set": ({"train_file": "t", "tfds": "x"}, "--tfds and --train_file exclude"),
    "a GLUE folder with a file": ({"train_file": "t", "data_dir": "g"}, "goes with a GLUE task"),
}


@pytest.mark.parametrize(("options", "message"), _BAD_OPTIONS.values(), ids=_BAD_OPTIONS)
def test_contradicting_options_are_an_error(options, message):
    with pytest.raises(UserError, match=message):
        TaskOptions(**options)


def test_without_options_the_snippets_are_the_task():
    data = TaskData(TaskOptions())
    assert (data.task.name, data.task.labels) == ("snippets", snippets.LABELS)
    assert data.score_split == "test"
    for split in ("train", "dev", "test"):
        assert data.load(split).texts == snippets.load(split)[0]


def test_the_input_of_a_glue_job_is_only_its_task_s_files(tmp_path):
    (tmp_path / "SST-2").mkdir()
    for name in ("train.tsv", "dev.tsv", "notes.txt"):
        (tmp_path / "SST-2" / name).touch()
    (field,) = (f for f in dataclasses.fields(TaskOptions) if f.name == "data_dir")
    files = [str(tmp_path / "SST-2" / name) for name in ("train.tsv", "dev.tsv")]
    for data_dir, task in ((tmp_path, "sst-2"), (tmp_path / "SST-2", "SST-2")):
        options = TaskOptions(task=task, data_dir=str(data_dir))
        assert field.metadata["part"](options) == ",".join([*files, "test.tsv"])
    assert field.metadata["part"](TaskOptions()) == ""


def test_a_limit_draws_the_same_rows_and_every_label():
    drawn = TaskData(TaskOptions(limit=8)).load("train")
    assert np.bincount(drawn.labels).tolist() == [4, 4]
    assert drawn.texts == TaskData(TaskOptions(limit=8, max_tokens=64)).load("train").texts
    assert len(TaskData(TaskOptions(limit=10**6)).load("dev")) == 600


def test_the_requested_metric_comes_first():
    assert TaskData(TaskOptions(metric="macro_f1")).task.metrics == ("macro_f1", "accuracy")
    with pytest.raises(UserError, match="metric 'pearson' does not fit a classification task"):
        TaskData(TaskOptions(metric="pearson"))


def test_a_glue_task_is_read_from_its_folder_and_scored_on_dev(tmp_path):
    (tmp_path / "SST-2").mkdir()
    for split, text in {"train": "fun \t1\ndull\t0\n", "dev": "bad\t0\n"}.items():
        (tmp_path / "SST-2" / f"{split}.tsv").write_text("sentence\tlabel\n" + text, "utf-8")
    (tmp_path / "SST-2" / "test.tsv").write_text("index\tsentence\n0\tso\n", "utf-8")
    data = TaskData(TaskOptions(task="sst-2", data_dir=str(tmp_path)))
    assert data.task == TASKS["SST-2"] and data.score_split == "dev"
    assert data.load("train").texts == ("fun ", "dull")
    assert data.load("dev").labels.tolist() == [0]
    assert data.load("test").labels is None


def test_a_glue_folder_without_the_task_is_named(tmp_path):
    data = TaskData(TaskOptions(task="RTE", data_dir=str(tmp_path)))
    with pytest.raises(UserError, match=f"RTE train: there is neither {tmp_path}/RTE/train.tsv"):
        data.load("train")
    with pytest.raises(UserError, match="RTE has no split 'dev_mismatched': train, dev, test"):
        data.load("dev_mismatched")
