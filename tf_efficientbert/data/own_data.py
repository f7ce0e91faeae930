"""Makes a task and its splits from the user's files or tensorflow_datasets."""

import dataclasses
import logging
from collections.abc import Collection, Sequence

from tf_efficientbert.data.columns import Columns, find_columns
from tf_efficientbert.data.encoded_text import decoded, read_bytes
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.file_options import FileOptions
from tf_efficientbert.data.rows import ExampleRow, bad_rows_error, checked_texts, examples_of
from tf_efficientbert.data.splitting import cut_off
from tf_efficientbert.data.table_file import BadRow, Table, read_table
from tf_efficientbert.data.task_options import CUSTOM, SPLITS, TaskOptions
from tf_efficientbert.data.task_sets import TaskSets
from tf_efficientbert.data.text_file import shown
from tf_efficientbert.data.tfds_source import read_tfds
from tf_efficientbert.errors import UserError
from tf_efficientbert.tasks import LABELLED_KINDS, SEPARATOR, LabelledTask, recognized_kind
from tf_efficientbert.tasks.classification import label_name

__all__ = ["read_own_data", "read_texts"]

_log = logging.getLogger(__name__)

_SKIP_ADVICE = "Fix them, or skip such rows with --bad_rows=skip"
_YES, _NO = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")


def read_own_data(options: TaskOptions, known: LabelledTask | None = None) -> TaskSets:
    """Reads all files that the flags name.

    Args:
        known: the task of an existing model; no training file is then needed.

    Raises:
        UserError: a file cannot be read or, with --bad_rows=error, has bad rows; the columns, the
            labels or the kind of task are ambiguous; a flag does not fit the data.
    """
    tables = _tables(options)
    if "train" not in tables and known is None:
        raise UserError(f"--{'tfds' if options.tfds else 'train_file'}: there is no training set")
    reader = _Reader(options)
    rows = {split: reader.rows(table) for split, table in tables.items()}
    if options.tfds:
        rows = reader.without_unlabelled(rows)
    if "train" in tables:
        task = reader.task(tables["train"], rows["train"])
    else:
        task = reader.known_task(known, rows)
    for split, found in rows.items():
        if found and (len(found[0].texts) == 2) != task.pair:
            expected = "pairs of texts" if task.pair else "single texts"
            raise UserError(f"{tables[split].path}: expected {expected}, as the task has them")
    examples = {split: reader.examples(tables[split], rows[split], task) for split in rows}
    if "train" in examples:
        examples = reader.with_cut_splits(task, examples)
        reason = task.unlearnable(examples["train"].labels) if known is None else None
        if reason:
            raise UserError(
                f"{tables['train'].path}: {reason}; expected at least two different ones"
            )
    return TaskSets(
        task=task,
        readers={split: lambda each=each: each for split, each in examples.items()},
        columns=reader.columns,
        left_out=tuple(reader.left_out),
        notes=tuple(reader.notes),
        has_own_test="test" in examples,
    )


def read_texts(path: str, options: FileOptions, pair: bool) -> Examples:
    """Reads the texts of a file, without labels, for prediction.

    Args:
        pair: whether the model takes pairs.

    Raises:
        UserError: see `read_own_data`.
    """
    table = read_table(path, delimiter=options.delimiter, encoding=options.encoding)
    found = _columns(table, options, label_required=False)
    if (len(found.texts) == 2) != pair:
        expected = "pairs" if pair else "single texts"
        raise UserError(
            f"{path}: the model takes {expected}, but the text columns are "
            f"{shown(list(found.texts))}; set --text_column and --second_text_column"
        )
    rows, bad = checked_texts(_as_rows(table, dataclasses.replace(found, labels=())))
    bad = [*table.bad_rows, *bad]
    if bad and (options.bad_rows == "error" or not rows):
        raise bad_rows_error(path, bad, _SKIP_ADVICE, table.unit)
    for each in bad:
        _log.warning("%s, %s %d: left out: %s", path, table.unit, each.line, each.reason)
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


def _columns(table: Table, options: FileOptions, label_required: bool = True) -> Columns:
    if not table.rows:
        raise bad_rows_error(table.path, table.bad_rows, "No row can be read", table.unit)
    return find_columns(
        table,
        text=options.text_column,
        second_text=options.second_text_column,
        label=options.label_column,
        id_=options.id_column,
        label_required=label_required,
    )


def _as_rows(table: Table, columns: Columns) -> list[ExampleRow]:
    rows = []
    for row in table.rows:
        texts = tuple(row.values.get(column) for column in columns.texts)
        labels = [row.values.get(column) for column in columns.labels]
        label = labels[0] if len(labels) == 1 else labels or None
        name = row.values.get(columns.id) if columns.id else None
        rows.append(ExampleRow(row.line, texts, label, name))
    return rows


class _Reader:
    """Reads the tables of one task; collects columns, notes and skipped rows."""

    def __init__(self, options: TaskOptions):
        self._options = options
        self.columns: dict[str, str] = {}
        self.left_out: list[dict] = []
        self.notes: list[str] = []
        self._bad: dict[str, list[BadRow]] = {}  # by file
        self._label_columns: tuple[str, ...] = ()
        self._left_out_labels: Collection[str] = ()
        self._train_path = ""

    def rows(self, table: Table) -> list[ExampleRow]:
        """Returns the rows with valid texts; adds notes on how the file was read."""
        found = _columns(table, self._options)
        self.columns = self.columns or found.by_role()
        used = {*found.texts, *found.labels, found.id}
        ignored = [column for column in table.columns if column not in used]
        roles = ", ".join(f"{role} is {column!r}" for role, column in found.by_role().items())
        self.notes.append(". ".join([f"{table.path}: {roles}", *table.notes]))
        if ignored:
            self.notes.append(f"{table.path}: ignored columns: {', '.join(map(repr, ignored))}")
        rows, bad = checked_texts(_as_rows(table, found))
        if len(found.labels) > 1:
            # The first file decides the names: another may write them in a different case.
            self._label_columns = self._label_columns or tuple(map(label_name, found.labels))
            rows, unclear = _flags_as_names(rows, self._label_columns)
            bad += unclear
        rows, unnamed = self._with_ids(table, rows)
        self._bad[table.path] = [*table.bad_rows, *bad, *unnamed]
        return rows

    def without_unlabelled(self, rows: dict[str, list]) -> dict[str, list]:
        """Drops splits in which no row has a label, such as GLUE's test sets; keeps "train"."""
        kept = {
            split: found
            for split, found in rows.items()
            if split == "train" or any(row.label is not None for row in found)
        }
        for split in rows:
            if split not in kept:
                self.notes.append(f"the set's {split} split has no labels and is not read")
        return kept

    def task(self, table: Table, rows: Sequence[ExampleRow]) -> LabelledTask:
        """Returns the task; what the flags do not set is derived from the training labels."""
        options, given = self._options, _given_labels(self._options)
        values = [row.label for row in rows if row.label is not None and row.label != ""]
        kind = self._kind(table, values, given)
        names = [*self._label_columns] or _names_in(kind, values, options.label_separator)
        if kind.has_classes and not names:
            few = ", ".join(shown(row.label) for row in rows[:3])
            raise UserError(
                f"{table.path}: column {self.columns['label']!r} has no label that is valid for "
                f"{kind.kind}; its first values: {few}"
            )
        for name in given:
            if name not in names:
                comma = "; a name with a comma needs --labels_file" if options.labels else ""
                raise UserError(
                    f"label {name!r}, which the flags name, does not occur in {table.path}{comma}"
                )
        labels = given or self._label_columns or kind.labels_of(names)
        if kind.has_classes and len(labels) == 1:
            raise UserError(
                f"{table.path}: {labels[0]!r} is the only label; expected at least two classes"
            )
        pair, arguments = "second_text" in self.columns, kind.file_arguments
        task = kind(CUSTOM, labels, pair=pair, **arguments(options.label_separator))
        if given:
            self._left_out_labels = {*names} - {*given}
        self._train_path = table.path
        order = "in the order given" if given or self._label_columns else "sorted"
        listed = f": {_some(task.labels)}, {order}" if task.labels else ""
        self.notes.append(f"The task is a {kind.kind}, {task.described_answer}{listed}")
        unlabelled = sum(row.label == "" or row.label == [] for row in rows)
        if unlabelled and kind.takes_columns:
            self.notes.append(f"{table.path}: rows with none of the labels: {unlabelled}")
        return task

    def known_task(self, known: LabelledTask, rows: dict[str, list[ExampleRow]]) -> LabelledTask:
        """Returns a model's task, with the flags on labels in files applied."""
        options, given = self._options, _given_labels(self._options)
        if options.task_kind not in ("", known.kind):
            raise UserError(f"--task_kind={options.task_kind}: the model's task is a {known.kind}")
        if given and given != known.labels:
            raise UserError(
                f"the flags name the labels {_some(given)}, the model has {_some(known.labels)}"
            )
        if given:
            values = [row.label for found in rows.values() for row in found]
            names = _names_in(type(known), values, options.label_separator)
            self._left_out_labels = {*names} - {*given}
        if options.label_separator == SEPARATOR:  # the flag is not set
            return known
        return dataclasses.replace(known, **known.file_arguments(options.label_separator))

    def examples(self, table: Table, rows: Sequence[ExampleRow], task: LabelledTask) -> Examples:
        """Returns the examples with labels of the task; rows with other labels are bad rows."""
        if self._left_out_labels:  # --labels or --labels_file names fewer than there are
            rows = self._with_kept_labels(table, rows, task)
        examples, bad = examples_of(rows, task)
        is_unseen = bad and self._train_path and table.path != self._train_path
        hint = "A label must occur in the training file. " if is_unseen else ""
        bad = [*self._bad[table.path], *bad]
        if bad and self._options.bad_rows == "error":
            raise bad_rows_error(table.path, bad, f"{hint}{_SKIP_ADVICE}", table.unit)
        self.left_out += [_left_out(table, each.line, each.reason) for each in bad]
        if examples is None:
            raise UserError(f"{table.path}: no row can be used; at least one is needed")
        return examples

    def with_cut_splits(
        self, task: LabelledTask, examples: dict[str, Examples]
    ) -> dict[str, Examples]:
        """Adds the splits without a file, cut off the training file."""
        shares = {name: self._options.shares[name] for name in SPLITS if name not in examples}
        shares = {name: share for name, share in shares.items() if share}
        cut = cut_off(task, examples["train"], shares)
        for name in shares:
            if name not in cut:
                self.notes.append(f"too few different texts to cut off a {name} split")
        if len(cut) > 1:
            rows = ", ".join(f"{len(part)} {name}" for name, part in cut.items())
            self.notes.append(f"split by a hash of the text, equal texts together: {rows}")
        return {**examples, **cut}

    def _kind(self, table: Table, values: Sequence, given: Sequence[str]) -> type[LabelledTask]:
        given_kind = self._options.task_kind
        if given_kind:
            kind = LABELLED_KINDS[given_kind]
        elif self._label_columns:
            kind = next(kind for kind in LABELLED_KINDS.values() if kind.takes_columns)
        else:
            kind = recognized_kind(values, with_classes=bool(given))
            reason = None if given else kind.implausible(values)
            if reason:
                raise UserError(
                    f"{table.path}: column {self.columns['label']!r} has {reason}: these do not "
                    "look like labels. Set --label_column to the label's column, or "
                    f"--task_kind={kind.kind} if they are labels"
                )
        if self._label_columns and not kind.takes_columns:
            raise UserError(f"--task_kind={given_kind}: there are several label columns")
        if given and not kind.has_classes:
            raise UserError(f"--labels needs a task with classes, but the task is a {kind.kind}")
        return kind

    def _with_ids(
        self, table: Table, rows: Sequence[ExampleRow]
    ) -> tuple[list[ExampleRow], list[BadRow]]:
        """Returns the rows; with --id_column, rows with a missing or repeated id are bad.

        A column detected by its name need not contain ids. If an id is missing or repeated, that
        column is ignored.
        """
        seen, good, bad = set(), [], []
        for row in rows:
            if row.id is None or str(row.id).strip() == "":
                bad.append(BadRow(row.line, "the id is missing"))
            elif str(row.id) in seen:
                bad.append(BadRow(row.line, f"id {shown(row.id)} is repeated"))
            else:
                good.append(row)
                seen.add(str(row.id))
        if self._options.id_column:
            return good, bad
        return [row._replace(id=None) for row in rows] if bad else [*rows], []

    def _with_kept_labels(
        self, table: Table, rows: Sequence[ExampleRow], task: LabelledTask
    ) -> list[ExampleRow]:
        kept = []
        for row in rows:
            label = task.kept_label(row.label, self._left_out_labels)
            if label is not None or row.label is None:
                kept.append(row._replace(label=label))
                continue
            reason = f"label {shown(row.label)} is not one of those that the flags name"
            self.left_out.append(_left_out(table, row.line, reason))
        if len(kept) < len(rows):
            count = len(rows) - len(kept)
            self.notes.append(f"{table.path}: {count} rows with other labels are left out")
        return kept


def _left_out(table: Table, line: int, reason: str) -> dict:
    unit = {} if table.unit == "line" else {"unit": table.unit}
    return {"file": table.path, "line": line, **unit, "reason": reason}


def _names_in(kind: type[LabelledTask], values: Sequence[object], separator: str) -> list[str]:
    """Returns the class names in the labels; invalid labels become bad rows later."""
    names = []
    for value in values:
        try:
            names += kind.names_in(value, separator)
        except ValueError:
            continue
    return names


def _given_labels(options: TaskOptions) -> tuple[str, ...]:
    """Returns the labels of --labels or --labels_file, in that order.

    Raises:
        UserError: a name is invalid, or the file contains none.
    """
    if options.labels_file:
        text = decoded(options.labels_file, read_bytes(options.labels_file), options.encoding)
        names = text.split("\n")
    else:
        names = options.labels.split(",")
    try:
        names = tuple(label_name(name) for name in names if name.strip())
    except ValueError as error:
        raise UserError(f"--labels or --labels_file: {error}") from error
    if options.labels_file and not names:
        raise UserError(
            f"--labels_file={options.labels_file} contains no label; expected one per line"
        )
    return names


def _flags_as_names(
    rows: Sequence[ExampleRow], names: Sequence[str]
) -> tuple[list[ExampleRow], list[BadRow]]:
    """Converts columns of 0 and 1 to lists of the labels that are 1."""
    good, bad = [], []
    for row in rows:
        cells = ["" if cell is None else str(cell).strip().lower() for cell in row.label]
        wrong = next((i for i, cell in enumerate(cells) if cell not in (*_YES, *_NO)), None)
        if wrong is None:
            has = zip(names, cells, strict=True)
            good.append(row._replace(label=[name for name, cell in has if cell in _YES]))
        else:
            found = shown(row.label[wrong]) if cells[wrong] else "empty"
            bad.append(BadRow(row.line, f"column {names[wrong]!r} is {found}, expected 0 or 1"))
    return good, bad


def _some(labels: Sequence[str], most: int = 10) -> str:
    listed = ", ".join(map(repr, labels[:most]))
    return listed if len(labels) <= most else f"{listed} and {len(labels) - most} more"
