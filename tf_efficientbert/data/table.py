"""Reading tab-separated tables. Quotes are literal characters, as in the GLUE files."""

import logging
from collections.abc import Iterator
from pathlib import Path

from tf_efficientbert.data.text_file import (
    line_error,
    read_lines,
    shown,
    without_trailing_blanks,
)
from tf_efficientbert.errors import UserError

__all__ = ["read_table"]

_logger = logging.getLogger(__name__)


def read_table(
    path: str | Path,
    columns: tuple[str, ...] | None = None,
    leave_out_broken_rows: bool = False,
) -> tuple[tuple[str, ...], Iterator[tuple[int, list[str]]]]:
    """Opens a table; blank lines at its end are dropped.

    Args:
        path: the file.
        columns: the column names of a file without a header; None reads them from line 1.
        leave_out_broken_rows: leave out rows with a wrong number of fields, with one warning
            that counts them, instead of raising.

    Returns:
        (column names, iterator of (line number, fields)); rows are read as they are asked for.

    Raises:
        UserError: the file cannot be read or is empty; or, while iterating, a row has a wrong
            number of fields.
    """
    lines = without_trailing_blanks(read_lines(path))
    if columns is None:
        _, header = next(lines, (0, None))
        if header is None:
            raise UserError(f"{path}: the file is empty; expected a line of column names")
        columns = tuple(header.split("\t"))
    return columns, _rows(path, len(columns), lines, leave_out_broken_rows)


def _rows(
    path: str | Path, width: int, lines: Iterator[tuple[int, str]], leave_out_broken_rows: bool
) -> Iterator[tuple[int, list[str]]]:
    broken = []
    for number, line in lines:
        fields = line.split("\t")
        if len(fields) == width:
            yield number, fields
        elif leave_out_broken_rows:
            broken.append(number)
        else:
            problem = f"{len(fields)} tab-separated fields, expected {width}: {shown(line)}"
            raise line_error(path, number, problem)
    if broken:
        _logger.warning(
            "%s: left out %d lines without %d fields, the first is line %d",
            path,
            len(broken),
            width,
            broken[0],
        )
