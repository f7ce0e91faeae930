"""Reads delimited text files: CSV and TSV, with quotes as syntax or as literal characters."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tf_efficientbert.data.delimited_records import Record, records
from tf_efficientbert.data.delimiter import delimiter_name, find_delimiter, named_delimiter
from tf_efficientbert.data.tabular import BadRow, Row, Table, character_problem
from tf_efficientbert.data.text_file import line_error, shown
from tf_efficientbert.errors import UserError

__all__ = ["read_delimited"]


def read_delimited(path: str, text: str, usual: str, delimiter: str = "") -> Table:
    r"""Reads a delimited text whose first line has the column names.

    Quotes are syntax if the file has no faulty lines then; otherwise the reading with fewer faulty
    lines is used. Drops trailing blank lines, and columns without a name and values.

    Args:
        path: the file, for messages.
        text: its text, lines ended by `\n`.
        usual: the usual delimiter for the file's extension.
        delimiter: the value of `--delimiter`; "" detects tab, comma or semicolon.

    Raises:
        UserError: the delimiter is invalid; the file is empty; the header is blank, repeats a
            column name or contains a NUL character.
    """
    if delimiter:
        delimiter = named_delimiter(delimiter)
    if not text.strip():
        raise UserError(f"{path}: the file is empty; expected a line of column names")
    if not text.partition("\n")[0].strip():
        raise line_error(path, 1, "blank; expected a line of column names")
    delimiter = delimiter or find_delimiter(text, usual)
    reading, quotes = _better_reading(text, delimiter)
    header, rows = reading.records[0], reading.records[1:]
    names = _column_names(path, header)
    used = _used_columns(names, [row for row in rows if reading.fits(row)])
    columns = [names[place] or f"column {place + 1}" for place in used]
    notes = ["one column"] if len(used) == 1 else [f"{delimiter_name(delimiter)}-separated"]
    notes += [f"a column without a name is called {columns[i]!r}" for i in _unnamed(names, used)]
    _refuse_repeated(path, columns)
    good, bad = _good_and_bad_rows(reading, text.split("\n"), columns, used)
    return Table(path, tuple(columns), tuple(good), tuple(bad), (*notes, *quotes))


_ALL_ENCLOSED = 0.9  # share of quoted fields from which the writer quotes every field


@dataclass(frozen=True)
class _Reading:
    """The records of a file under one reading of its quotes, without trailing blank ones."""

    records: Sequence[Record]

    @property
    def width(self) -> int:
        return len(self.records[0].fields)

    def fits(self, record: Record) -> bool:
        # An empty line is an empty field if there is only one column.
        fields = len(record.fields) or int(self.width == 1)
        return fields == self.width and not record.problem

    def faults(self) -> list[Record]:
        if self.records[0].problem:
            return list(self.records)
        return [row for row in self.records[1:] if not self.fits(row) and not row.is_blank]

    def share_enclosed(self) -> float:
        """Returns the share of the fields that start and end with a quote."""
        fields = [field.strip(" ") for record in self.records for field in record.fields]
        enclosed = sum(len(f) > 1 and f[0] == f[-1] == '"' for f in fields)
        return enclosed / max(len(fields), 1)

    def faulty_lines(self) -> int:
        """Counts lines, not records: an unclosed quote makes one record of many lines."""
        return sum(record.last - record.first + 1 for record in self.faults())


def _read(text: str, delimiter: str, quoted: bool) -> _Reading:
    found = list(records(text, delimiter, quoted))
    while found[-1].is_blank:
        found.pop()
    return _Reading(found)


def _better_reading(text: str, delimiter: str) -> tuple[_Reading, list[str]]:
    """Returns the reading with fewer faulty lines, and the note on its quotes.

    On a tie, quotes are literal if there is a stray quote or a field over several lines: two
    literal quotes on different lines can look like such a field.
    """
    if '"' not in text:
        return _read(text, delimiter, quoted=False), []
    quoted = _read(text, delimiter, quoted=True)
    literal = _read(text, delimiter, quoted=False)
    if literal.share_enclosed() >= _ALL_ENCLOSED:
        return quoted, ["quotes enclose fields and are not part of the text"]
    doubts = _stray_quotes(text, delimiter)
    if quoted.width > 1:
        doubts += [record.first for record in quoted.records if record.last > record.first]
    faults = [record.first for record in quoted.faults()]
    if (literal.faulty_lines(), False) < (quoted.faulty_lines(), bool(doubts)):
        why = f"since in line {min(doubts + faults)} they do not enclose a field"
        return literal, [f"quotes are read as literal characters, {why}"]
    return quoted, ["quotes enclose fields and are not part of the text"]


def _stray_quotes(text: str, delimiter: str) -> list[int]:
    """Returns the first line with a quote next to no delimiter, line end or other quote, if any.

    Writers that use quotes as syntax produce no such quote; the csv module accepts it as text.
    """
    inside = f'[^"\n{re.escape(delimiter)}]'
    # A space after the delimiter does not count as text.
    match = re.search(f'(?<={inside})(?<!{re.escape(delimiter)} )"(?={inside})', text)
    return [text.count("\n", 0, match.start()) + 1] if match else []


def _column_names(path: str, header: Record) -> list[str]:
    if header.problem:
        raise line_error(path, header.first, f"{header.problem}; fix the line of column names")
    names = [name.strip() for name in header.fields]
    if not any(names):
        raise line_error(path, header.first, "blank; expected a line of column names")
    if any("\0" in name for name in names):
        problem = "a NUL character; this is not a text file, or --encoding=utf-16 is missing"
        raise line_error(path, header.first, problem)
    return names


def _used_columns(names: Sequence[str], rows: Sequence[Record]) -> list[int]:
    return [
        place
        for place, name in enumerate(names)
        if name or any(row.fields[place].strip() for row in rows)
    ]


def _unnamed(names: Sequence[str], used: Sequence[int]) -> list[int]:
    return [position for position, place in enumerate(used) if not names[place]]


def _refuse_repeated(path: str, columns: Sequence[str]) -> None:
    for place, name in enumerate(columns):
        if name in columns[:place]:
            problem = f"the column name {name!r} is repeated; give each column its own"
            raise line_error(path, 1, problem)


def _good_and_bad_rows(
    reading: _Reading, lines: Sequence[str], columns: Sequence[str], used: Sequence[int]
) -> tuple[list[Row], list[BadRow]]:
    good, bad = [], []
    for record in reading.records[1:]:
        fields = record.fields or [""]
        if not reading.fits(record):
            bad.append(BadRow(record.first, _width_problem(reading.width, record, lines)))
        elif problem := character_problem(fields):
            bad.append(BadRow(record.first, f"holds {problem}: {shown(lines[record.first - 1])}"))
        else:
            values = {name: fields[place] for name, place in zip(columns, used, strict=True)}
            good.append(Row(record.first, values))
    return good, bad


def _width_problem(width: int, record: Record, lines: Sequence[str]) -> str:
    if record.is_blank:
        return "empty line"
    extent = f", up to line {record.last}" if record.last > record.first else ""
    what = record.problem or f"{len(record.fields)} fields, expected {width}"
    return f"{what}{extent}: {shown(lines[record.first - 1])}"
