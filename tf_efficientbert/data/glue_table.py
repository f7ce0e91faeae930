"""Reads GLUE's tables: tab-separated, with literal quotes."""

import logging
from collections.abc import Iterator
from pathlib import Path

from tf_efficientbert.data.delimited_records import Record, records
from tf_efficientbert.data.text_file import (
    line_error,
    read_lines,
    shown,
    without_trailing_blanks,
)
from tf_efficientbert.errors import UserError

__all__ = ["read_glue_table"]

_logger = logging.getLogger(__name__)


def read_glue_table(
    path: str | Path,
    columns: tuple[str, ...] | None = None,
    leave_out_broken_rows: bool = False,
) -> tuple[tuple[str, ...], Iterator[tuple[int, list[str]]]]:
    """Opens a table; drops trailing blank lines.

    Args:
        path: the file.
        columns: the column names of a file without a header; None reads them from line 1.
        leave_out_broken_rows: skip rows with a wrong number of fields and log one warning with
            their count, instead of raising.

    Returns:
        (column names, iterator of (line number, fields)); rows are checked during iteration.

    Raises:
        UserError: the file cannot be read or is empty; or, while iterating, a row has a wrong
            number of fields.
    """
    text = "\n".join(line for _, line in without_trailing_blanks(read_lines(path)))
    rows = records(text, "\t", quoted=False)
    if columns is None:
        header = next(rows, None)
        if header is None:
            raise UserError(f"{path}: the file is empty; expected a line of column names")
        columns = tuple(header.fields)
    return columns, _rows(path, len(columns), rows, leave_out_broken_rows)


def _rows(
    path: str | Path, width: int, rows: Iterator[Record], leave_out_broken_rows: bool
) -> Iterator[tuple[int, list[str]]]:
    broken = []
    for row in rows:
        if len(row.fields) == width:
            yield row.first, row.fields
        elif leave_out_broken_rows:
            broken.append(row.first)
        else:
            problem = f"{len(row.fields)} tab-separated fields, expected {width}"
            raise line_error(path, row.first, f"{problem}: {shown(chr(9).join(row.fields))}")
    if broken:
        _logger.warning(
            "%s: left out %d lines without %d fields, the first is line %d",
            path,
            len(broken),
            width,
            broken[0],
        )
