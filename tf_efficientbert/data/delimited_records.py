"""Splits the text of a delimited file into records of fields."""

import csv
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Record", "records"]

_PRIVATE_USE = range(0xE000, 0xF900)


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    Attributes:
        first: the line where it starts, from 1.
        last: the line where it ends.
        fields: its fields, none for an empty line.
        problem: why quotes could not be parsed as syntax here, or "".
    """

    first: int
    last: int
    fields: list[str]
    problem: str = ""

    @property
    def is_blank(self) -> bool:
        """Whether the line is empty or has only spaces; a quoted empty field is not blank."""
        if self.problem or len(self.fields) > 1:
            return False
        return not self.fields or (self.fields[0] != "" and not self.fields[0].strip(" "))


def records(text: str, delimiter: str, quoted: bool) -> Iterator[Record]:
    r"""Splits a text into records, lazily.

    Args:
        text: lines that end in `\n`.
        delimiter: the character between fields.
        quoted: whether quotes are syntax: a quoted field may hold delimiters, line breaks, and
            quotes that are doubled. Otherwise quotes are ordinary characters.

    Yields:
        The records. A record with invalid quotes has a problem and no fields; reading continues
        at the next line.
    """
    csv.field_size_limit(sys.maxsize)
    text, placeholder = _without_carriage_returns(text)
    reader = csv.reader(
        io.StringIO(text, newline="\n"),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        skipinitialspace=quoted,  # allows a space between a comma and an opening quote
        strict=True,
    )
    while True:
        first = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(first, reader.line_num, [], _quoting_problem(str(error)))
        else:
            if placeholder:
                fields = [field.replace(placeholder, "\r") for field in fields]
            yield Record(first, reader.line_num, fields)


def _without_carriage_returns(text: str) -> tuple[str, str]:
    """Returns (text, its placeholder for carriage returns), which csv rejects within a line."""
    if "\r" not in text:
        return text, ""
    placeholder = next(sign for sign in map(chr, _PRIVATE_USE) if sign not in text)
    return text.replace("\r", placeholder), placeholder


def _quoting_problem(error: str) -> str:
    if error == "unexpected end of data":
        return "a quote opens a field and no quote closes it"
    return "characters after the quote that closes a field"
