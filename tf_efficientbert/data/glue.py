"""Reads the GLUE tasks (Wang et al., 2018) from files in GLUE's own layout.

Each task is one entry of the table below; the reader has no task-specific code. Files are
tab-separated with literal quotes, and columns are found by their name in the header.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.glue_table import read_glue_table
from tf_efficientbert.data.rows import ExampleRow, bad_rows_error, checked_texts, examples_of
from tf_efficientbert.data.text_file import line_error, shown
from tf_efficientbert.errors import UserError
from tf_efficientbert.tasks import Classification, LabelledTask, Regression

__all__ = ["TASKS", "find_task", "load", "splits", "task_files"]

_COLA_COLUMNS = ("source", "label", "original_label", "sentence")
_TWO_SENTENCES = ("sentence1", "sentence2")
_ENTAILMENT = ("entailment", "not_entailment")
# The order of the classes in the published MNLI models; AX is predicted by an MNLI model.
_THREE_WAY = ("contradiction", "entailment", "neutral")
_BINARY = ("0", "1")


@dataclass(frozen=True)
class _Layout:
    """The files and columns of a task.

    Args:
        task: the task.
        texts: the columns of the texts.
        label: the column of the label, absent in unlabelled files.
        files: split -> file name; labels are required except in test splits.
        columns: split -> column names, for files without a header.
        folder: the task's folder in the GLUE root, if its name is not the task's.
        alias: the layout's name, if it is not the task's.
        has_broken_rows: whether the published files contain empty texts, and rows split in two by
            a line break, which every reader of this task skips.
    """

    task: LabelledTask
    texts: tuple[str, ...]
    label: str
    files: Mapping[str, str] = field(
        default_factory=lambda: {split: f"{split}.tsv" for split in ("train", "dev", "test")}
    )
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    folder: str | None = None
    alias: str | None = None
    has_broken_rows: bool = False

    @property
    def name(self) -> str:
        return self.alias or self.task.name


_MNLI = Classification("MNLI", _THREE_WAY, pair=True)

_LAYOUTS = (
    _Layout(
        Classification("CoLA", _BINARY, pair=False, metrics=("matthews",)),
        ("sentence",),
        "label",
        columns={"train": _COLA_COLUMNS, "dev": _COLA_COLUMNS},
    ),
    _Layout(Classification("SST-2", _BINARY, pair=False), ("sentence",), "label"),
    _Layout(
        Classification("MRPC", _BINARY, pair=True, metrics=("accuracy", "f1")),
        ("#1 String", "#2 String"),
        "Quality",
    ),
    _Layout(
        Classification("QQP", _BINARY, pair=True, metrics=("accuracy", "f1")),
        ("question1", "question2"),
        "is_duplicate",
        has_broken_rows=True,
    ),
    _Layout(Regression("STS-B", (), pair=True), _TWO_SENTENCES, "score"),
    _Layout(
        _MNLI,
        _TWO_SENTENCES,
        "gold_label",
        files={
            "train": "train.tsv",
            "dev": "dev_matched.tsv",
            "dev_matched": "dev_matched.tsv",
            "dev_mismatched": "dev_mismatched.tsv",
            "test": "test_matched.tsv",
            "test_matched": "test_matched.tsv",
            "test_mismatched": "test_mismatched.tsv",
        },
    ),
    _Layout(  # the same task, scored on the genres that it was not trained on
        _MNLI,
        _TWO_SENTENCES,
        "gold_label",
        files={
            "train": "train.tsv",
            "dev": "dev_mismatched.tsv",
            "test": "test_mismatched.tsv",
        },
        folder="MNLI",
        alias="MNLI-mm",
    ),
    _Layout(Classification("QNLI", _ENTAILMENT, pair=True), ("question", "sentence"), "label"),
    _Layout(Classification("RTE", _ENTAILMENT, pair=True), _TWO_SENTENCES, "label"),
    _Layout(Classification("WNLI", _BINARY, pair=True), _TWO_SENTENCES, "label"),
    _Layout(
        Classification("AX", _THREE_WAY, pair=True, metrics=("matthews",)),
        _TWO_SENTENCES,
        "label",
        files={"test": "diagnostic.tsv"},
        folder="diagnostic",
    ),
)

TASKS: dict[str, LabelledTask] = {layout.name: layout.task for layout in _LAYOUTS}


def find_task(name: str) -> LabelledTask:
    """Returns the GLUE task of that name, in upper or lower case.

    Raises:
        UserError: there is no such task; the message lists them.
    """
    return _layout_of(name).task


def splits(task_name: str) -> tuple[str, ...]:
    """Returns the splits of a task, as `load` takes them.

    Raises:
        UserError: there is no such task.
    """
    return tuple(_layout_of(task_name).files)


def task_files(folder: str | Path, task_name: str) -> list[str]:
    """Returns the paths of the files that `load` reads; for a missing file only its name.

    Raises:
        UserError: there is no such task.
    """
    layout = _layout_of(task_name)
    found = ((_places(Path(folder), layout, split), name) for split, name in layout.files.items())
    files = (next((str(p) for p in places if p.is_file()), name) for places, name in found)
    return list(dict.fromkeys(files))


def load(folder: str | Path, task_name: str, split: str) -> Examples:
    """Reads one split of a GLUE task.

    Args:
        folder: the GLUE root, or the task's own folder in it.
        task_name: for instance "SST-2" or "sst-2".
        split: "train", "dev" or "test"; MNLI also has "dev_matched" (the same as "dev"),
            "dev_mismatched" and both for test; AX has "test" only.

    Returns:
        The examples. Test sets have no labels, unless the file has a label column.

    Raises:
        UserError: there is no such task, split or file, or a line of the file is invalid.
    """
    layout = _layout_of(task_name)
    if split not in layout.files:
        known = ", ".join(layout.files)
        raise UserError(f"{layout.task.name} has no split {split!r}; it has: {known}")
    path = _find_file(Path(folder), layout, split)
    columns, rows = read_glue_table(path, layout.columns.get(split), layout.has_broken_rows)
    _check_columns(path, layout, split, columns)
    good, bad = checked_texts(_rows(layout, columns, rows), layout.has_broken_rows)
    examples, wrong = examples_of(good, layout.task if layout.label in columns else None)
    if bad or wrong:
        raise bad_rows_error(path, [*bad, *wrong])
    if examples is None:
        raise UserError(f"{path}: holds no examples; at least one is needed")
    return examples


def _layout_of(name: str) -> _Layout:
    for layout in _LAYOUTS:
        if layout.name.lower() == name.lower():
            return layout
    raise UserError(f"{name!r} is not a GLUE task; the tasks are {', '.join(TASKS)}")


def _find_file(folder: Path, layout: _Layout, split: str) -> Path:
    places = _places(folder, layout, split)
    for path in places:
        if path.is_file():
            return path
    raise UserError(
        f"{layout.task.name} {split}: there is neither {places[0]} nor {places[1]}; "
        "give the GLUE folder or the task's folder"
    )


def _places(folder: Path, layout: _Layout, split: str) -> tuple[Path, Path]:
    """Returns a split's path if `folder` is the GLUE root, and if it is the task's own folder."""
    name = layout.files[split]
    return folder / (layout.folder or layout.task.name) / name, folder / name


def _check_columns(path: Path, layout: _Layout, split: str, columns: tuple[str, ...]) -> None:
    needed = layout.texts if split.startswith("test") else (*layout.texts, layout.label)
    for column in needed:
        if column not in columns:
            problem = f"no column {column!r}, which {layout.task.name} {split} has, in the header "
            raise line_error(path, 1, problem + shown(list(columns)))


def _rows(
    layout: _Layout, columns: tuple[str, ...], rows: Iterator[tuple[int, list[str]]]
) -> Iterator[ExampleRow]:
    text_columns = [columns.index(column) for column in layout.texts]
    label = columns.index(layout.label) if layout.label in columns else None
    for line, fields in rows:
        texts = tuple(fields[index] for index in text_columns)
        yield ExampleRow(line, texts, None if label is None else fields[label])
