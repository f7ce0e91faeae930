import logging

import numpy as np
import pytest

from tests.shared_data import SHARED_DATA, needs_shared_data
from tf_efficientbert.data.glue import TASKS, find_task, load, splits
from tf_efficientbert.errors import UserError

_MNLI_TRAIN = (
    "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
    "sentence1_parse\tsentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label"
)
_MNLI_DEV = _MNLI_TRAIN.replace("label1", "label1\tlabel2\tlabel3\tlabel4\tlabel5")
_MNLI_TEST = _MNLI_TRAIN.removesuffix("\tlabel1\tgold_label")
_STS_COLUMNS = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"

# A small file per layout: task, split, file, its lines, sentences, second sentences, labels.
_LAYOUTS = [
    ("CoLA", "train", "CoLA/train.tsv", ["s\t0\t*\tA bad.", "s\t1\t\tOk."], "A bad.", None, [0, 1]),
    ("CoLA", "dev", "CoLA/dev.tsv", ["s\t0\t*\tA bad."], "A bad.", None, [0]),
    ("CoLA", "test", "CoLA/test.tsv", ["index\tsentence", "0\tA."], "A.", None, None),
    ("SST-2", "train", "SST-2/train.tsv", ["sentence\tlabel", "fun \t1"], "fun ", None, [1]),
    ("SST-2", "test", "SST-2/test.tsv", ["index\tsentence", "0\tfun"], "fun", None, None),
    (
        "MRPC",
        "dev",
        "MRPC/dev.tsv",
        ["\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String", '1\t7\t8\tHe said " a\tb', ""],
        'He said " a',
        "b",
        [1],
    ),
    (
        "MRPC",
        "test",
        "MRPC/test.tsv",
        ["index\t#1 ID\t#2 ID\t#1 String\t#2 String", "0\t7\t8\ta\tb"],
        "a",
        "b",
        None,
    ),
    (
        "QQP",
        "train",
        "QQP/train.tsv",
        ["id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", "0\t1\t2\ta\tb\t1"],
        "a",
        "b",
        [1],
    ),
    ("QQP", "test", "QQP/test.tsv", ["id\tquestion1\tquestion2", "0\ta\tb"], "a", "b", None),
    (
        "STS-B",
        "train",
        "STS-B/train.tsv",
        [_STS_COLUMNS + "\tscore", "0\tg\tf\ty\t1\tn\tn\ta\tb\t3.750"],
        "a",
        "b",
        [3.75],
    ),
    (
        "STS-B",
        "test",
        "STS-B/test.tsv",
        [_STS_COLUMNS, "0\tg\tf\ty\t1\tn\tn\ta\tb"],
        "a",
        "b",
        None,
    ),
    (
        "MNLI",
        "train",
        "MNLI/train.tsv",
        [_MNLI_TRAIN, "0\tp\tq\tg\t(\t(\t(\t(\ta\tb\tneutral\tentailment"],
        "a",
        "b",
        [1],
    ),
    *(
        (
            "MNLI",
            split,
            f"MNLI/{file}.tsv",
            [_MNLI_DEV, "0\tp\tq\tg\t(\t(\t(\t(\ta\tb\t1\t2\t3\t4\t5\tcontradiction"],
            "a",
            "b",
            [0],
        )
        for split, file in [
            ("dev", "dev_matched"),
            ("dev_matched", "dev_matched"),
            ("dev_mismatched", "dev_mismatched"),
        ]
    ),
    (
        "MNLI",
        "test_mismatched",
        "MNLI/test_mismatched.tsv",
        [_MNLI_TEST, "0\tp\tq\tg\t(\t(\t(\t(\ta\tb"],
        "a",
        "b",
        None,
    ),
    (
        "QNLI",
        "train",
        "QNLI/train.tsv",
        ["index\tquestion\tsentence\tlabel", "0\ta\tb\tnot_entailment"],
        "a",
        "b",
        [1],
    ),
    (
        "RTE",
        "train",
        "RTE/train.tsv",
        ["index\tsentence1\tsentence2\tlabel", "0\ta\tb\tentailment"],
        "a",
        "b",
        [0],
    ),
    (
        "WNLI",
        "dev",
        "WNLI/dev.tsv",
        ["index\tsentence1\tsentence2\tlabel", "0\ta\tb\t1"],
        "a",
        "b",
        [1],
    ),
    (
        "AX",
        "test",
        "diagnostic/diagnostic.tsv",
        ["index\tsentence1\tsentence2", "0\ta\tb"],
        "a",
        "b",
        None,
    ),
]


def _write(root, file: str, lines: list[str]):
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(
    ("task", "split", "file", "lines", "sentence", "second", "labels"),
    _LAYOUTS,
    ids=[f"{layout[0]}-{layout[1]}" for layout in _LAYOUTS],
)
def test_each_layout_is_read_from_the_root_and_from_the_task_folder(
    tmp_path, task, split, file, lines, sentence, second, labels
):
    path = _write(tmp_path, file, lines)
    for folder, name in [(tmp_path, task), (path.parent, task.lower())]:
        examples = load(folder, name, split)
        assert examples.texts[0] == sentence
        assert (examples.second_texts or [None])[0] == second
        assert (examples.labels is None) == (labels is None)
        assert labels is None or examples.labels.tolist() == labels
        dtype = np.int32 if TASKS[task].has_classes else np.float32
        assert examples.labels is None or examples.labels.dtype == dtype


def test_tasks_are_found_in_any_case():
    assert find_task("sst-2") is TASKS["SST-2"]
    with pytest.raises(UserError, match="'SST' is not a GLUE task; the tasks are CoLA, SST-2"):
        find_task("SST")


def test_label_order_of_the_entailment_tasks_is_the_published_one():
    assert TASKS["RTE"].labels == TASKS["QNLI"].labels == ("entailment", "not_entailment")
    assert TASKS["MNLI"].labels == ("contradiction", "entailment", "neutral")
    assert TASKS["STS-B"].kind == "regression"


def test_splits_are_listed_and_an_unknown_split_is_an_error(tmp_path):
    assert splits("rte") == ("train", "dev", "test")
    with pytest.raises(UserError, match="AX has no split 'dev'; it has: test"):
        load(tmp_path, "AX", "dev")


def test_the_error_for_a_missing_file_names_both_possible_paths(tmp_path):
    with pytest.raises(
        UserError, match=r"RTE dev: there is neither .*/RTE/dev\.tsv nor .*/dev\.tsv"
    ):
        load(tmp_path, "RTE", "dev")


_RTE_HEADER = "index\tsentence1\tsentence2\tlabel"

_BAD_FILES = {
    "empty": ([], "the file is empty"),
    "header only": ([_RTE_HEADER], "holds no examples"),
    "wrong columns": (["index\tsentence1\tlabel", "0\ta\tentailment"], "line 1: no column 'sent"),
    "no labels": (["index\tsentence1\tsentence2", "0\ta\tb"], "line 1: no column 'label'"),
    "short row": ([_RTE_HEADER, "0\ta\tb"], "line 2: 3 tab-separated fields, expected 4"),
    "unknown label": (
        [_RTE_HEADER, "0\ta\tb\tentailment", "1\ta\tb\tmaybe"],
        "line 3: label 'maybe' is not one of 'entailment', 'not_entailment'",
    ),
    "the text is empty": ([_RTE_HEADER, "0\t\tb\tentailment"], "line 2: the text is empty"),
}


@pytest.mark.parametrize(("lines", "message"), _BAD_FILES.values(), ids=_BAD_FILES.keys())
def test_errors_name_file_and_line(tmp_path, lines, message):
    _write(tmp_path, "RTE/train.tsv", lines)
    with pytest.raises(UserError, match=rf"train\.tsv(, |: ){message}"):
        load(tmp_path, "RTE", "train")


def test_broken_rows_of_qqp_are_skipped_and_counted_in_a_warning(tmp_path, caplog):
    lines = [
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        "0\t1\t2\ta\tb\t1",
        "1\t3\t4\ttorn",
        " question\tc\t0",
        "2\t5\t6\td\t\t0",
    ]
    _write(tmp_path, "QQP/train.tsv", lines)
    with caplog.at_level(logging.WARNING):
        examples = load(tmp_path, "QQP", "train")
    assert (examples.texts, examples.labels.tolist()) == (("a", "d"), [1, 0])
    assert "left out 2 lines without 6 fields, the first is line 3" in caplog.text


# Rows of the published files, and rows per label if they are labelled.
_REAL_FILES = {
    ("CoLA", "train"): [2528, 6023],
    ("CoLA", "dev"): [322, 721],
    ("CoLA", "test"): 1063,
    ("SST-2", "train"): [29780, 37569],
    ("SST-2", "dev"): [428, 444],
    ("SST-2", "test"): 1821,
    ("MRPC", "train"): [1194, 2474],
    ("MRPC", "dev"): [129, 279],
    ("MRPC", "test"): 1725,
    ("RTE", "train"): [1249, 1241],
    ("RTE", "dev"): [146, 131],
    ("RTE", "test"): 3000,
    ("WNLI", "train"): [323, 312],
    ("WNLI", "dev"): [40, 31],
    ("WNLI", "test"): 146,
    ("QNLI", "dev"): [2702, 2761],
    ("QNLI", "test"): 5463,
    ("STS-B", "test"): 1379,
    ("AX", "test"): 1104,
}


@needs_shared_data
@pytest.mark.parametrize(("task", "split"), _REAL_FILES, ids="-".join)
def test_the_published_files_are_read_completely(task, split):
    expected = _REAL_FILES[task, split]
    examples = load(SHARED_DATA / "glue", task, split)
    assert (examples.second_texts is not None) == TASKS[task].pair
    if examples.labels is None:
        assert len(examples) == expected
    else:
        assert np.bincount(examples.labels).tolist() == expected


@needs_shared_data
@pytest.mark.parametrize(("split", "rows", "mean"), [("train", 5749, 2.701), ("dev", 1500, 2.364)])
def test_the_published_similarity_scores_are_read_completely(split, rows, mean):
    labels = load(SHARED_DATA / "glue", "STS-B", split).labels
    assert len(labels) == rows
    assert labels.mean() == pytest.approx(mean, abs=5e-4)
    assert (labels.min(), labels.max()) == (0.0, 5.0)
