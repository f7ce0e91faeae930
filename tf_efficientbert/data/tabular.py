"""The result of reading a table file: rows, bad rows and notes."""

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["BadRow", "Row", "Table", "character_problem", "table_of_objects"]


@dataclass(frozen=True, slots=True)
class Row:
    """One record.

    Attributes:
        line: the line of the file where the record starts, from 1; in JSON arrays, Parquet files
            and tensorflow_datasets the number of the record, from 1.
        values: column name -> value, for every column of the table. Delimited files have only
            text; other formats have their own types, and None if a value is absent or null.
    """

    line: int
    values: dict[str, object]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A record that cannot be used: its line, counted as for `Row`, and the reason."""

    line: int
    reason: str


@dataclass(frozen=True)
class Table:
    """The records of one file, in its order.

    Attributes:
        path: the file, as messages name it.
        columns: the column names, in the file's order.
        rows: the records that could be read.
        bad_rows: those that could not.
        notes: for the user, how the file was read.
        unit: what `Row.line` counts, "line" or "record".
    """

    path: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    bad_rows: tuple[BadRow, ...]
    notes: tuple[str, ...]
    unit: str = "line"


def character_problem(value: object) -> str:
    """Finds a character that is invalid in text: NUL, or half of a surrogate pair.

    Args:
        value: text, or lists and dicts with texts at any depth.

    Returns:
        The problem, or "" if there is none.
    """
    if isinstance(value, str):
        if "\0" in value:
            return "a NUL character"
        # Of all characters of a str, only unpaired surrogates have no UTF-8 form.
        return "" if value.isascii() or _has_utf8_form(value) else "an unpaired surrogate"
    if isinstance(value, dict):
        return character_problem([*value.keys(), *value.values()])
    if isinstance(value, list):
        return next(filter(None, map(character_problem, value)), "")
    return ""


def table_of_objects(
    path: str,
    objects: Iterable[tuple[int, dict[str, object]]],
    bad_rows: Iterable[BadRow],
    notes: tuple[str, ...],
    unit: str = "record",
) -> Table:
    """Makes a table of records with their own column names.

    Args:
        path: the file, as messages name it.
        objects: (line, column name -> value); columns may be absent.
        bad_rows: records that were already rejected.
        notes: for the user, how the file was read.
        unit: see `Table`.

    Returns:
        The table. Its columns are the union of the names, by first appearance; records with
        invalid characters are bad rows.
    """
    good, bad, columns = [], list(bad_rows), {}
    for line, values in objects:
        if problem := character_problem(values):
            bad.append(BadRow(line, f"holds {problem}"))
        else:
            good.append((line, values))
            columns.update(dict.fromkeys(values))
    rows = tuple(Row(line, {name: values.get(name) for name in columns}) for line, values in good)
    bad.sort(key=lambda row: row.line)
    return Table(path, tuple(columns), rows, tuple(bad), notes, unit)


def _has_utf8_form(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
