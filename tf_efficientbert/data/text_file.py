"""Reads text files; errors name the file and the line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tf_efficientbert.errors import UserError

__all__ = [
    "line_error",
    "open_file",
    "parse_json",
    "read_json",
    "read_lines",
    "shown",
    "without_trailing_blanks",
]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SHOWN_CHARACTERS = 80


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    r"""Streams the lines of a UTF-8 file, a byte order mark allowed.

    Only `\n` and `\r\n` end a line: form feeds and the Unicode line separators are text.

    Args:
        path: the file.

    Yields:
        (line number from 1, the line without its end).

    Raises:
        UserError: the file cannot be opened, is not UTF-8 or holds a NUL character.
    """
    offset = 0
    with open_file(path) as file:
        # A binary file is split at \n alone.
        for number, raw in enumerate(file, start=1):
            yield number, _decode_line(path, number, offset, raw)
            offset += len(raw)


def open_file(path: str | Path) -> BinaryIO:
    """Opens a file to read its bytes; raises UserError if that fails."""
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a directory; give the file in it") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def without_trailing_blanks(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Drops the blank lines at the end of a file; keeps other blank lines."""
    blanks = []
    for number, line in lines:
        if not line.strip(" "):
            blanks.append((number, line))
            continue
        yield from blanks
        blanks.clear()
        yield number, line


def read_json(path: str | Path) -> object:
    """Reads a whole JSON file.

    Raises:
        UserError: the file cannot be opened, is not UTF-8 or is not JSON.
    """
    return parse_json(path, "\n".join(line for _, line in read_lines(path)))


def parse_json(path: str | Path, text: str, first_line: int = 1) -> object:
    """Parses JSON text that starts at line `first_line` of a file.

    Raises:
        UserError: the text is not JSON, or its numbers or nesting exceed the parser's limits.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        problem = f"not valid JSON: {error.msg} at column {error.colno}"
        raise line_error(path, line, problem) from None
    except (ValueError, RecursionError) as error:
        raise line_error(path, first_line, f"JSON cannot be read: {error}") from None


def line_error(path: str | Path, line: int, problem: str) -> UserError:
    """Returns the error for a problem in one line of a file."""
    return UserError(f"{path}, line {line}: {problem}")


def shown(value: object) -> str:
    """Returns a value for a message: quoted, on one line, cut if long."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def _decode_line(path: str | Path, number: int, offset: int, raw: bytes) -> str:
    body = raw.removesuffix(b"\n").removesuffix(b"\r")
    if number == 1 and body.startswith(_BYTE_ORDER_MARK):
        body = body.removeprefix(_BYTE_ORDER_MARK)
        offset += len(_BYTE_ORDER_MARK)
    try:
        line = body.decode("utf-8")
    except UnicodeDecodeError as error:
        place = f"byte 0x{body[error.start]:02x} at offset {offset + error.start} of the file"
        problem = f"not UTF-8: {place}; save the file as UTF-8"
        raise line_error(path, number, problem) from None
    if "\0" in line:
        problem = f"NUL character at column {line.index(chr(0)) + 1}; this is not a text file"
        raise line_error(path, number, problem)
    return line
