"""Detects the delimiter of a table file."""

from collections.abc import Iterator
from itertools import islice

from tf_efficientbert.data.delimited_records import Record, records
from tf_efficientbert.errors import UserError

__all__ = ["delimiter_name", "find_delimiter", "named_delimiter"]

_NAMES = {"tab": "\t", "comma": ",", "semicolon": ";", "\\t": "\t"}
_CANDIDATES = ("\t", ",", ";")
_SAMPLE = 100


def named_delimiter(name: str) -> str:
    r"""Returns the character that `--delimiter` names: tab, comma, semicolon, \t or itself.

    Raises:
        UserError: the name is none of these.
    """
    delimiter = _NAMES.get(name, name)
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise UserError(
            f"--delimiter={name!r} cannot separate fields; "
            "give tab, comma, semicolon or one other character"
        )
    return delimiter


def delimiter_name(delimiter: str) -> str:
    """Returns a delimiter's name, for messages."""
    return next((name for name, sign in _NAMES.items() if sign == delimiter), repr(delimiter))


def find_delimiter(text: str, usual: str) -> str:
    """Detects the delimiter among tab, comma and semicolon, by the first 100 records.

    Args:
        text: the file's text, not empty.
        usual: the usual delimiter for the file's extension.

    Returns:
        The delimiter with the most header fields, among those that split the header into two or
        more fields and at least half of the records into as many. If there is none: `usual` if it
        splits the header, else the delimiter with which most records are a single column.
    """
    samples = {sign: _widths(text, sign) for sign in _CANDIDATES}
    tables = [
        (width, share, sign == usual, sign)
        for sign, (width, share) in samples.items()
        if width > 1 and share >= 0.5
    ]
    if tables:
        return max(tables)[-1]
    if samples[usual][0] > 1:
        return usual
    return max((share, sign == usual, sign) for sign, (_, share) in samples.items())[-1]


def _widths(text: str, delimiter: str) -> tuple[int, float]:
    """Returns (header fields, share of the first records with as many), quoted or not."""
    return max(
        (_fitting(records(text, delimiter, quoted)) for quoted in (True, False)),
        key=lambda fitting: fitting[1],
    )


def _fitting(lines: Iterator[Record]) -> tuple[int, float]:
    header, *rows = (line for line in islice(lines, _SAMPLE + 1) if not line.is_blank)
    width = len(header.fields)
    fitting = sum(len(row.fields) == width and not row.problem for row in rows)
    return width, fitting / max(len(rows), 1)
