"""The user's own examples, from files or tensorflow_datasets, made into a task and its splits."""

import dataclasses
import itertools
import logging
from collections.abc import Sequence

from tf_efficientbert.data.columns import Columns, find_columns
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.rows import Row, bad_rows_error, checked_texts, examples_of
from tf_efficientbert.data.splitting import split_by_text
from tf_efficientbert.data.table_file import BadRow, Table, read_table
from tf_efficientbert.data.task_options import CUSTOM, SPLITS, TaskOptions
from tf_efficientbert.data.task_sets import TaskSets
from tf_efficientbert.data.text_file import read_lines, shown
from tf_efficientbert.data.text_keys import text_key
from tf_efficientbert.data.tfds_source import read_tfds
from tf_efficientbert.errors import UserError
from tf_efficientbert.tasks import LABELLED_KINDS, LabelledTask, MultiLabel, recognized_kind

__all__ = ["read_own_data", "read_texts"]

_log = logging.getLogger(__name__)

_LIKELY_TEXT = 0.5  # share of distinct labels from which a column is no column of labels
_YES, _NO = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no", "")


def read_own_data(options: TaskOptions, known: LabelledTask | None = None) -> TaskSets:
    """Reads all files that the flags name.

    Args:
        known: the task, where a model has it already; a training file is then not needed.

    Raises:
        UserError: a file cannot be read or, with --bad_rows=error, has bad rows; the columns, the
            labels or the kind of task are not clear; a flag does not go with the data.
    """
    tables = _tables(options)
    if "train" not in tables and known is None:
        raise UserError("--train_file is missing: it says what the task is")
    reader = _Reader(options)
    rows = {split: reader.rows(table) for split, table in tables.items()}
    _check_same_texts(tables, rows)
    task = reader.task(tables["train"], rows["train"]) if "train" in tables else known
    examples = {
        split: reader.examples(tables[split], rows[split], task, is_train=split == "train")
        for split in tables
    }
    if "train" in examples:
        examples = _with_cut_splits(options, task, examples, reader)
        if known is None:
            _check_learnable(options, task, examples)
        _note_shared_texts(examples, reader)
    return TaskSets(
        task=task,
        readers={split: lambda each=each: each for split, each in examples.items()},
        columns=reader.columns,
        left_out=tuple(reader.left_out),
        notes=tuple(reader.notes),
        has_own_test="test" in examples,
    )


def read_texts(path: str, options, pair: bool) -> Examples:
    """The texts of a file, for a model to answer; labels are not read.

    Args:
        options: FileOptions.
        pair: whether the model takes pairs.

    Raises:
        UserError: see `read_own_data`.
    """
    table = read_table(path, delimiter=options.delimiter, encoding=options.encoding)
    found = _columns(table, options, label_required=False)
    if (len(found.texts) == 2) != pair:
        expected = "pairs" if pair else "single texts"
        raise UserError(
            f"{path}: the model takes {expected}, and the columns are {shown(list(found.texts))}: "
            "say which by --text_column and --second_text_column"
        )
    rows, bad = checked_texts(_as_rows(table, dataclasses.replace(found, labels=())))
    bad = [*table.bad_rows, *bad]
    if bad and (options.bad_rows == "error" or not rows):
        raise bad_rows_error(path, bad, "; --bad_rows=skip leaves such rows out")
    for each in bad:
        _log.warning("%s, line %d: left out: %s", path, each.line, each.reason)
    return examples_of(rows, None)[0]


def _tables(options: TaskOptions) -> dict[str, Table]:
    if options.tfds:
        return read_tfds(options.tfds, options.tfds_dir)
    paths = {split: getattr(options, f"{split}_file") for split in SPLITS}
    return {
        split: read_table(path, delimiter=options.delimiter, encoding=options.encoding)
        for split, path in paths.items()
        if path
    }


def _columns(table: Table, options, label_required: bool = True) -> Columns:
    return find_columns(
        table,
        text=options.text_column,
        second_text=options.second_text_column,
        label=options.label_column,
        id_=options.id_column,
        label_required=label_required,
    )


def _as_rows(table: Table, columns: Columns) -> list[Row]:
    rows = []
    for row in table.rows:
        texts = tuple(row.values.get(column) for column in columns.texts)
        label = row.values.get(columns.labels[0]) if len(columns.labels) == 1 else None
        if len(columns.labels) > 1:
            label = {column: row.values.get(column) for column in columns.labels}
        rows.append(Row(row.line, texts, label, row.values.get(columns.id) if columns.id else None))
    return rows


class _Reader:
    """What one reading of the files learns on its way."""

    def __init__(self, options: TaskOptions):
        self._options = options
        self.columns: dict[str, str] = {}
        self.left_out: list[dict] = []
        self.notes: list[str] = []
        self._label_columns: tuple[str, ...] = ()
        self._left_out_labels: set[str] = set()

    def rows(self, table: Table) -> list[Row]:
        """The rows with good texts; notes what the file was taken for."""
        found = _columns(table, self._options)
        if len(found.labels) > 1:
            self._label_columns = found.labels
        self.columns = self.columns or found.by_role()
        used = {*found.texts, *found.labels, found.id}
        ignored = [column for column in table.columns if column not in used]
        roles = ", ".join(f"{role} is {column!r}" for role, column in found.by_role().items())
        self.notes.append(". ".join([f"{table.path}: {roles}", *table.notes]))
        if ignored:
            self.notes.append(f"{table.path}: ignored columns: {', '.join(map(repr, ignored))}")
        rows, bad = checked_texts(_as_rows(table, found))
        if len(found.labels) > 1:
            rows, unclear = _flags_as_names(rows)
            bad += unclear
        self._bad(table, [*table.bad_rows, *bad])
        return rows

    def task(self, table: Table, rows: Sequence[Row]) -> LabelledTask:
        """The task that a training file's labels make, as far as the flags leave it open."""
        options = self._options
        values = [row.label for row in rows if row.label is not None and row.label != ""]
        names = _given_labels(options)
        if options.task_kind:
            kind = LABELLED_KINDS[options.task_kind]
        elif self._label_columns:
            kind = MultiLabel
        else:
            kind = recognized_kind(values)
            if names and not kind.has_classes:
                kind = LABELLED_KINDS["classification"]
            self._check_plausible(table, kind, values)
        if self._label_columns and kind is not MultiLabel:
            raise UserError(
                f"--task_kind={options.task_kind}: several label columns are of a multilabel task"
            )
        if names and not kind.has_classes:
            raise UserError(f"--labels goes with classes, and the task is a {kind.kind}")
        found = self._label_columns or _labels_in(kind, values, options.label_separator)
        for name in names:
            if name not in found:
                raise UserError(f"label {name!r}, which the flags name, is nowhere in {table.path}")
        if kind.has_classes and len(names or found) == 1:
            raise UserError(
                f"{table.path}: {(names or found)[0]!r} is the only label there is; nothing can be "
                "learned from one class alone"
            )
        extra = {"separator": options.label_separator} if kind is MultiLabel else {}
        task = kind(CUSTOM, names or found, pair="second_text" in self.columns, **extra)
        self._left_out_labels = {*found} - {*task.labels}
        order = "in the order given" if names else "sorted"
        listed = f": {_some(task.labels)}, {order}" if task.labels else ""
        self.notes.append(f"The task is a {kind.kind}, {task.described_answer}{listed}")
        return task

    def examples(
        self, table: Table, rows: Sequence[Row], task: LabelledTask, is_train: bool
    ) -> Examples:
        """The rows with labels of the task; other labels are bad rows."""
        if self._left_out_labels:  # asked for by naming the labels
            rows = self._with_kept_labels(table, rows, task)
        examples, bad = examples_of(rows, task)
        unknown = "" if is_train else "; a label must occur in the training file"
        self._bad(table, bad, unknown)
        if examples is None:
            raise UserError(f"{table.path}: no row of it can be used; at least one is needed")
        return examples

    def _with_kept_labels(self, table: Table, rows: Sequence[Row], task: LabelledTask) -> list[Row]:
        kept = []
        for row in rows:
            label = task.kept_label(row.label, self._left_out_labels)
            if label is not None or row.label is None:
                kept.append(row._replace(label=label))
                continue
            reason = f"label {shown(row.label)} is not among those that the flags name"
            self.left_out.append({"file": table.path, "line": row.line, "reason": reason})
        if len(kept) < len(rows):
            count = len(rows) - len(kept)
            self.notes.append(f"{table.path}: {count} rows of other labels are left out")
        return kept

    def _bad(self, table: Table, bad: Sequence[BadRow], hint: str = "") -> None:
        if not bad:
            return
        if self._options.bad_rows == "error":
            raise bad_rows_error(
                table.path, bad, f"{hint}; mend them, or leave them out by --bad_rows=skip"
            )
        self.left_out += [
            {"file": table.path, "line": each.line, "reason": each.reason} for each in bad
        ]

    def _check_plausible(self, table: Table, kind, values: Sequence[object]) -> None:
        """A guessed class for nearly every row is no class."""
        if kind is not LABELLED_KINDS["classification"] or len(values) < 20:
            return
        distinct = len({str(value) for value in values})
        if distinct > _LIKELY_TEXT * len(values):
            column = self.columns["label"]
            raise UserError(
                f"{table.path}: column {column!r} has {distinct} different values in "
                f"{len(values)} rows, such as {shown(values[0])}: these look like no labels. Name "
                "the label's column by --label_column, or say --task_kind=classification"
            )


def _labels_in(kind, values: Sequence[object], separator: str) -> tuple[str, ...]:
    """The class names among the labels; those that can't be read are told as bad rows later."""
    readable = []
    for value in values:
        try:
            kind.labels_in([value], separator)
        except ValueError:
            continue
        readable.append(value)
    return kind.labels_in(readable, separator)


def _given_labels(options: TaskOptions) -> tuple[str, ...]:
    """What --labels or --labels_file name, in that order."""
    if options.labels_file:
        names = [line.strip() for _, line in read_lines(options.labels_file)]
    else:
        names = [name.strip() for name in options.labels.split(",")]
    return tuple(filter(None, names))


def _flags_as_names(rows: Sequence[Row]) -> tuple[list[Row], list[BadRow]]:
    """Columns of 0 and 1 as lists of the labels that are 1."""
    good, bad = [], []
    for row in rows:
        cells = {name: str("" if v is None else v).strip().lower() for name, v in row.label.items()}
        wrong = next((name for name, cell in cells.items() if cell not in (*_YES, *_NO)), None)
        if wrong:
            reason = f"column {wrong!r} is {shown(row.label[wrong])}, expected 0 or 1"
            bad.append(BadRow(row.line, reason))
        else:
            good.append(row._replace(label=[name for name, cell in cells.items() if cell in _YES]))
    return good, bad


def _check_same_texts(tables: dict[str, Table], rows: dict[str, list[Row]]) -> None:
    widths = {split: len(found[0].texts) for split, found in rows.items() if found}
    for split, width in widths.items():
        if width != widths.get("train", width):
            expected = "pairs" if widths["train"] == 2 else "single texts"
            raise UserError(
                f"{tables[split].path}: expected {expected}, as {tables['train'].path} has them"
            )


def _keys(examples: Examples) -> list[str]:
    return [text_key(*row) for row in zip(*examples.columns, strict=True)]


def _with_cut_splits(
    options: TaskOptions, task: LabelledTask, examples: dict[str, Examples], reader: _Reader
) -> dict[str, Examples]:
    """The splits that have no file are cut off the training file."""
    shares = {name: options.shares[name] for name in ("dev", "test") if name not in examples}
    shares = {name: share for name, share in shares.items() if share}
    if not shares:
        return examples
    whole = examples["train"]
    shares = {"train": 100 - sum(shares.values()), **shares}
    strata = [task.stratum(target) for target in whole.labels]
    parts = split_by_text(_keys(whole), strata, shares)
    for name, rows in parts.items():
        if not len(rows):
            reader.notes.append(f"too few different texts to cut off a {name} split")
    cut = {name: whole.take(rows) for name, rows in parts.items() if len(rows)}
    rows = ", ".join(f"{len(cut[name])} {name}" for name in cut)
    reader.notes.append(f"cut off by a hash of the text, the same texts together: {rows}")
    return {**examples, **cut}


def _check_learnable(
    options: TaskOptions, task: LabelledTask, examples: dict[str, Examples]
) -> None:
    reason = task.unlearnable(examples["train"].labels)
    if reason:
        raise UserError(
            f"--train_file={options.train_file or options.tfds}: {reason}; there is nothing to "
            "learn to tell apart"
        )


def _note_shared_texts(examples: dict[str, Examples], reader: _Reader) -> None:
    keys = {split: _keys(each) for split, each in examples.items()}
    for first, second in itertools.combinations(examples, 2):
        seen = set(keys[first])
        shared = sum(key in seen for key in keys[second])
        if shared:
            reader.notes.append(
                f"warning: {shared} of {len(keys[second])} rows of {second} have a text that "
                f"{first} has too; scores on them are too good"
            )


def _some(labels: Sequence[str], most: int = 10) -> str:
    listed = ", ".join(map(repr, labels[:most]))
    return listed if len(labels) <= most else f"{listed} and {len(labels) - most} more"
