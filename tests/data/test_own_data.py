"""Making a task and its splits from the user's files."""

import dataclasses
import gzip
import json
import random

import numpy as np
import pytest

from tf_efficientbert.data import own_data
from tf_efficientbert.data.file_options import FileOptions
from tf_efficientbert.data.own_data import read_own_data, read_texts
from tf_efficientbert.data.tabular import Row, Table
from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.data.text_keys import text_key
from tf_efficientbert.errors import UserError
from tf_efficientbert.tasks import Classification, MultiLabel

_MOODS = "text,label\nI like it,good\nI don't,bad\nso nice,good\nso sad,bad\n"


@pytest.fixture
def own(tmp_path):
    """Writes the given train.csv, dev.csv, ... and reads them as the user's data."""

    def own(train: str, name: str = "train.csv", dev="", test="", known=None, **options):
        for split, content in {"train": train, "dev": dev, "test": test}.items():
            if content:
                path = tmp_path / (name if split == "train" else f"{split}.csv")
                path.write_text(content, "utf-8")
                options[f"{split}_file"] = str(path)
        return read_own_data(TaskOptions(**{"split": "100/0/0", **options}), known)

    return own


def _rows(sets, split="train"):
    examples = sets.readers[split]()
    shown = [sets.task.shown(target) for target in examples.labels]
    return list(zip(*examples.columns, shown, strict=True))


def test_a_file_of_text_and_labels_is_a_classification_with_sorted_labels(own):
    sets = own(_MOODS)
    assert (sets.task.kind, sets.task.labels, sets.task.pair) == (
        "classification",
        ("bad", "good"),
        False,
    )
    assert _rows(sets)[:2] == [("I like it", "good"), ("I don't", "bad")]
    assert sets.columns == {"text": "text", "label": "label"}


_SAME = {
    "semicolons": ("x.csv", _MOODS.replace(",", ";")),
    "tabs": ("x.tsv", _MOODS.replace(",", "\t")),
    "other names, capitals and blanks": (
        "x.csv",
        _MOODS.replace("text,label", " Review ,Sentiment "),
    ),
    "objects a line": (
        "x.jsonl",
        "\n".join(
            json.dumps(dict(zip(("text", "label"), row.split(","), strict=True)))
            for row in _MOODS.splitlines()[1:]
        ),
    ),
}


@pytest.mark.parametrize(("name", "content"), _SAME.values(), ids=_SAME)
def test_all_formats_give_the_same_data(own, name, content):
    assert _rows(own(content, name)) == _rows(own(_MOODS))


def test_a_compressed_file_is_read(tmp_path):
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(_MOODS.encode()))
    sets = read_own_data(TaskOptions(train_file=str(path), split="100/0/0"))
    assert sets.task.labels == ("bad", "good")


@pytest.mark.parametrize(
    ("header", "texts"),
    [
        ("sentence1,sentence2", ("sentence1", "sentence2")),
        ("premise,hypothesis", ("premise", "hypothesis")),
        ("question,context", ("question", "context")),
        ("text,second_text", ("text", "second_text")),
    ],
)
def test_pairs_are_detected_by_column_names(own, header, texts):
    sets = own(f"{header},label\na,b,yes\nc,d,no\n")
    assert sets.task.pair and _rows(sets)[0] == ("a", "b", "yes")
    assert (sets.columns["text"], sets.columns["second_text"]) == texts


def test_flags_name_columns_with_other_names(own):
    text = "when,what,how,grade\n1,I like it,fine,9\n2,I do not,ill,1\n"
    sets = own(text, text_column="what", label_column="HOW")
    assert _rows(sets) == [("I like it", "fine"), ("I do not", "ill")]
    ignored = [note for note in sets.notes if "ignored columns" in note]
    assert len(ignored) == 1 and "'when', 'grade'" in ignored[0]


@pytest.mark.parametrize(
    ("header", "options", "message"),
    [
        ("what,label", {}, r"no column has a name for texts.*'what': 'a', 'c'.*--text_column=NAME"),
        ("text,review,label", {}, "several columns may be the text"),
        ("text,score,label", {}, "several columns may be the label.*--label_column=NAME"),
        ("text,grade", {}, "no column has a name for labels"),
        ("text,label", {"text_column": "body"}, "--text_column=body: .* has no such column"),
    ],
)
def test_the_error_for_ambiguous_columns_lists_them_with_samples(own, header, options, message):
    width = header.count(",") + 1
    rows = "".join(",".join(cells[:width]) + "\n" for cells in ("abx", "cdy"))
    with pytest.raises(UserError, match=f"(?s){message}"):
        own(f"{header}\n{rows}", **options)


def test_numbers_are_a_regression_unless_flags_set_another_kind(own):
    text = "text,score\n" + "".join(f"t{i},{i / 7}\n" for i in range(1, 12))
    assert own(text).task.kind == "regression"
    whole = "text,score\n" + "".join(f"t{i},{i}\n" for i in range(1, 5))
    assert own(whole).task.labels == ("1", "2", "3", "4")
    assert own(whole, task_kind="regression").task.kind == "regression"
    with pytest.raises(UserError, match="--labels needs a task with classes"):
        own(whole, task_kind="regression", labels="1,2")


def test_the_flags_fix_the_order_of_the_labels_or_a_subset(own, tmp_path):
    assert own(_MOODS, labels=" good, bad,").task.labels == ("good", "bad")
    text = _MOODS + "so so,meh\n"
    sets = own(text, labels="good,bad")
    assert len(_rows(sets)) == 4
    assert [(left["line"], left["reason"]) for left in sets.left_out] == [
        (6, "label 'meh' is not one of those that the flags name")
    ]
    names = tmp_path / "labels.txt"
    names.write_text("Sports, Outdoor\ncaf\u00e9 & co\n", "utf-8")
    rows = 'text,label\na,"Sports, Outdoor"\nb,caf\u00e9 & co\n'
    assert own(rows, labels_file=str(names)).task.labels == ("Sports, Outdoor", "caf\u00e9 & co")
    with pytest.raises(UserError, match="label 'great', which the flags name, does not occur"):
        own(_MOODS, labels="great,bad")


def test_labels_with_separators_or_columns_of_0_and_1_are_a_multi_label_task(own):
    text = "text,label\na,x|y\nb,\nc,y\n"
    sets = own(text, task_kind="multilabel")
    assert sets.task.labels == ("x", "y")
    assert sets.readers["train"]().labels.tolist() == [[1, 1], [0, 0], [0, 1]]
    columns = "text,x,y\na,1,1\nb,0,0\nc,0,1\n"
    flags = own(columns, label_column="x,y")
    assert flags.task.kind == "multilabel"
    assert flags.readers["train"]().labels.tolist() == [[1, 1], [0, 0], [0, 1]]
    with pytest.raises(UserError, match="line 3: column 'x' is '2', expected 0 or 1"):
        own(columns.replace("b,0,0", "b,2,0"), label_column="x,y")


_BAD = "text,label\nfine,good\n,bad\nunlabelled,\nok,bad\n"


def test_bad_rows_are_named_with_file_line_and_value(own):
    with pytest.raises(UserError, match=r"(?s)train\.csv, line 3: the text is empty\. Fix"):
        own(_BAD.replace("unlabelled,", "labelled,bad"))
    with pytest.raises(UserError, match="line 4: the label is missing"):
        own(_BAD.replace("\n,bad", "\nnot empty,bad"))
    text = "text,label\n" + "a,good\nb,bad\n" + ",good\n" * 7
    with pytest.raises(UserError, match=r"(?s)7 bad rows.*line 4.*line 8.*and 2 more"):
        own(text)


def test_bad_rows_can_be_skipped_and_are_counted_and_listed(own):
    sets = own(_BAD + "three,cells,too many\n", bad_rows="skip")
    assert [text for text, _ in _rows(sets)] == ["fine", "ok"]
    assert sorted(left["line"] for left in sets.left_out) == [3, 4, 6]


def test_all_bad_rows_of_a_file_are_counted_at_once(own):
    with pytest.raises(UserError, match=r"(?s)2 bad rows:\n  line 3: the text is empty\n  line 4"):
        own(_BAD)


def test_errors_in_json_arrays_name_the_record_number(own):
    records = [{"text": "a", "label": "x"}, {"text": "", "label": "y"}, {"text": "b", "label": "y"}]
    with pytest.raises(UserError, match=r"train\.json, record 2: the text is empty"):
        own(json.dumps(records, indent=1), "train.json")
    (left,) = own(json.dumps(records, indent=1), "train.json", bad_rows="skip").left_out
    assert (left["line"], left["unit"]) == (2, "record")


def test_an_empty_cell_is_neither_0_nor_1(own):
    columns = "text,x,y\na,1,1\nb,,0\nc,0,1\n"
    with pytest.raises(UserError, match="line 3: column 'x' is empty, expected 0 or 1"):
        own(columns, label_column="x,y")


def test_columns_of_0_and_1_may_differ_in_case_between_files(own):
    columns = "text,Fun,2.0\na,1,1\nb,1,0\nc,0,1\n"
    sets = own(columns, test=columns.replace("Fun", "fun"), label_column="fun,2.0")
    assert sets.task.labels == ("Fun", "2")
    assert sets.readers["test"]().labels.tolist() == [[1, 1], [1, 0], [0, 1]]


def test_a_column_without_any_label_is_named(own):
    with pytest.raises(UserError, match=r"train\.csv: column 'label' has no label that is valid"):
        own("text,label\na,\nb,\n")


def test_the_error_for_an_unreadable_file_gives_the_reasons(own):
    with pytest.raises(
        UserError, match=r"(?s)2 bad rows:\n  line 1: not valid JSON.*No row can be"
    ):
        own("text,label\na,b\n", "train.jsonl")


def test_decimal_commas_are_bad_rows_and_not_classes(own):
    rows = "text;score\n" + "".join(f"t{i};{i},5\n" for i in range(9))
    with pytest.raises(UserError, match="label '0,5' is not a finite number; write it with a dec"):
        own(rows)


def test_a_column_cannot_have_two_roles(own):
    with pytest.raises(UserError, match="the flags name column 'text' twice"):
        own(_MOODS, label_column="text", text_column="text")
    sets = own("text,label,post\na,1,x\nb,2,y\n", label_column="post")
    assert (sets.columns["text"], sets.task.labels) == ("text", ("x", "y"))


def test_missing_or_repeated_ids_are_bad_rows_with_id_column(own):
    rows = "text,label,id\na,x,1\nb,y,1\nc,x,\nd,y,2\n"
    with pytest.raises(UserError, match=r"(?s)line 3: id '1' is repeated.*line 4: the id is miss"):
        own(rows, id_column="id")
    assert own(rows).readers["train"]().ids is None
    kept = own(rows, id_column="id", bad_rows="skip").readers["train"]()
    assert (kept.texts, kept.ids) == (("a", "d"), ("1", "2"))


def test_labels_in_flags_are_normalized_like_labels_in_files(own, tmp_path):
    numbers = "text,label\na,1.0\nb,2.0\nc,3.0\n"
    assert own(numbers, labels="2.0,1").task.labels == ("2", "1")
    names = tmp_path / "labels.txt"
    names.write_text("caf\u00e9\nbad\n", "cp1252")
    with pytest.raises(UserError, match=r"labels\.txt, line 1: not utf-8"):
        own(_MOODS, labels_file=str(names))
    names.write_text("\n", "utf-8")
    with pytest.raises(UserError, match=r"--labels_file=.*labels\.txt contains no label"):
        own(_MOODS, labels_file=str(names))


def test_a_tfds_split_without_labels_is_not_read(monkeypatch):
    def table(split, label):
        rows = tuple(Row(i, {"text": f"{split} {i}", "label": label(i)}) for i in range(1, 9))
        return Table(f"tfds:x/{split}", ("text", "label"), rows, (), (), "record")

    tables = {"train": table("train", lambda i: "ab"[i % 2]), "test": table("test", lambda i: None)}
    monkeypatch.setattr(own_data, "read_tfds", lambda name, folder: tables)
    sets = read_own_data(TaskOptions(tfds="x", split="75/25/0"))
    assert {split: len(read()) for split, read in sets.readers.items()} == {"train": 6, "dev": 2}
    assert any("test split has no labels" in note for note in sets.notes) and not sets.has_own_test


# === the task of an existing model ===

_KNOWN = Classification("custom", ("bad", "good"), pair=False)


def test_a_file_of_pairs_does_not_fit_a_model_of_single_texts(own):
    pairs = "text,second_text,label\na,b,good\nc,d,bad\n"
    options = {"test": pairs, "train": ""}
    with pytest.raises(UserError, match=r"test\.csv: expected single texts"):
        own(**options, known=_KNOWN)
    with pytest.raises(UserError, match=r"test\.csv: expected pairs"):
        own(train="", test=_MOODS, known=dataclasses.replace(_KNOWN, pair=True))


def test_flags_on_labels_also_apply_to_a_model_s_task(own):
    test = _MOODS + "so so,meh\n"
    with pytest.raises(UserError, match=r"test\.csv, line 6: label 'meh' is not one of 'bad', 'g"):
        own("", test=test, known=_KNOWN)
    sets = own("", test=test, known=_KNOWN, labels="bad,good")
    assert (len(_rows(sets, "test")), len(sets.left_out)) == (4, 1)
    with pytest.raises(UserError, match="the flags name the labels 'good', 'bad', the model has"):
        own("", test=test, known=_KNOWN, labels="good,bad")
    with pytest.raises(UserError, match="--task_kind=regression: the model's task is a classif"):
        own("", test=test, known=_KNOWN, task_kind="regression")
    topics = MultiLabel("custom", ("x", "y"), pair=False)
    rows = "text,label\na,x;y\nb,y\n"
    sets = own("", test=rows, known=topics, label_separator=";")
    assert sets.readers["test"]().labels.tolist() == [[1, 1], [0, 1]]


def test_a_label_missing_in_the_training_file_is_an_error_with_file_and_line(own):
    with pytest.raises(UserError, match=r"dev\.csv, line 3: label 'meh' is not one of 'bad'"):
        own(_MOODS, dev="text,label\nx,good\ny,meh\n")


def test_all_splits_must_have_pairs_or_single_texts(own):
    pairs = "text,second_text,label\na,b,good\nc,d,bad\n"
    with pytest.raises(UserError, match=r"dev\.csv: expected single texts"):
        own(_MOODS, dev=pairs)
    with pytest.raises(UserError, match=r"dev\.csv: expected pairs"):
        own(pairs, dev=_MOODS)


def test_a_single_class_is_an_error_before_training(own):
    text = "text,label\na,good\nb,good\n"
    with pytest.raises(UserError, match="good"):
        own(text)


def test_a_column_of_nearly_distinct_values_is_not_a_label(own):
    text = "text,label\n" + "".join(f"t{i},sentence number {i}\n" for i in range(30))
    with pytest.raises(UserError, match="30 different values in 30 rows.*--label_column"):
        own(text)


def _many(count=200):
    """Rows; every tenth is repeated with a different spelling."""
    rows = [(f"text number {i}", "abc"[i % 3]) for i in range(count)]
    return rows + [(f"Text  NUMBER, {i}!", "abc"[i % 3]) for i in range(0, count, 10)]


def test_splits_do_not_depend_on_the_order_of_the_rows(own):
    rows = _many()
    found = []
    for seed in (0, 1):
        random.Random(seed).shuffle(rows)
        content = "text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows)
        sets = own(content, split="80/10/10")
        found.append({split: sorted(_rows(sets, split)) for split in ("train", "dev", "test")})
    assert found[0] == found[1]
    keys = {split: {text_key(text) for text, _ in each} for split, each in found[0].items()}
    assert not keys["train"] & keys["dev"] and not keys["train"] & keys["test"]
    assert not keys["dev"] & keys["test"]
    assert sum(map(len, found[0].values())) == len(rows)
    for split, share in {"train": 0.8, "dev": 0.1, "test": 0.1}.items():
        assert abs(len(found[0][split]) / len(rows) - share) < 0.03
        assert {label for _, label in found[0][split]} == {"a", "b", "c"}


@pytest.mark.parametrize("split", ["30/35/35", "80/10/10", "10/80/10"])
@pytest.mark.parametrize("classes", [2, 60])
def test_no_text_is_in_two_splits_for_any_number_of_classes(own, split, classes):
    rows = "".join(f"text {i},c{i % classes}\n" for i in range(60))
    sets = own("text,label\n" + rows, split=split, task_kind="classification")
    texts = [text for split in sets.readers for text, _ in _rows(sets, split)]
    assert sorted(texts) == sorted(f"text {i}" for i in range(60))


@pytest.mark.parametrize("split", ["80/nan/20", "80/10", "0/50/50", "120/-10/-10"])
def test_invalid_shares_are_an_error(split):
    with pytest.raises(UserError, match=f"--split={split}: expected three percentages"):
        TaskOptions(train_file="x.csv", split=split)


def test_the_error_for_a_split_without_a_share_names_the_flag(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(_MOODS, "utf-8")
    with pytest.raises(UserError, match=r"there is no dev split; .*--dev_file.*--split=100/0/0"):
        TaskData(TaskOptions(train_file=str(path), split="100/0/0")).load("dev")


def test_only_splits_without_a_file_are_cut_off(own):
    rows = "text,label\n" + "".join(f"{text},{label}\n" for text, label in _many()[:200])
    dev = "text,label\nnew a,a\nnew b,b\n"
    sets = own(rows, dev=dev, split="80/10/10")
    assert len(_rows(sets, "dev")) == 2
    assert len(_rows(sets, "test")) == pytest.approx(20, abs=2)
    assert set(own(rows, dev=dev, split="90/10/0").readers) == {"train", "dev"}


def test_texts_without_labels_are_read_for_prediction(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id,text\n7,a\n8,b\n", "utf-8")
    examples = read_texts(str(path), FileOptions(), pair=False)
    assert (examples.texts, examples.labels, examples.ids) == (("a", "b"), None, ("7", "8"))
    with pytest.raises(UserError, match="the model takes pairs"):
        read_texts(str(path), FileOptions(), pair=True)


def test_files_are_read_once_until_they_change(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(_MOODS, "utf-8")
    options = TaskOptions(train_file=str(path), split="100/0/0")
    first = TaskData(options).load("train")
    assert TaskData(options).load("train") is first
    path.write_text(_MOODS + "so new,good\n", "utf-8")
    assert len(TaskData(options).load("train")) == len(first) + 1


def test_the_error_for_a_missing_split_names_the_flag(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(_MOODS, "utf-8")
    data = TaskData(TaskOptions(train_file=str(path), split="100/0/0"))
    assert data.score_split == "dev"
    with pytest.raises(UserError, match="there is no dev split; give --dev_file"):
        data.load("dev")


def test_a_limit_draws_from_the_whole_file(tmp_path):
    path = tmp_path / "x.csv"
    rows = "".join(f"good {i},good\n" for i in range(50)) + "".join(
        f"bad {i},bad\n" for i in range(50)
    )
    path.write_text("text,label\n" + rows, "utf-8")
    data = TaskData(TaskOptions(train_file=str(path), split="100/0/0", limit=10))
    assert np.bincount(data.load("train").labels).tolist() == [5, 5]


def test_a_set_of_tensorflow_datasets_is_read_like_a_file(monkeypatch):
    from tf_efficientbert.data import own_data
    from tf_efficientbert.data.tabular import Row, Table

    rows = tuple(Row(i, {"text": f"t{i}", "label": "ab"[i % 2]}) for i in range(1, 9))
    table = Table("tfds:mine/train", ("text", "label"), rows, (), ())
    monkeypatch.setattr(own_data, "read_tfds", lambda name, folder: {"train": table})
    sets = read_own_data(TaskOptions(tfds="mine", split="50/25/25"))
    assert sets.task.labels == ("a", "b") and set(sets.readers) == {"train", "dev", "test"}
