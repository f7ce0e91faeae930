r"""The user's own task files: one example a line, tab-separated or JSON.

Tab-separated (`.tsv`): the first line names the columns, in any order; quotes are literal.

    sentence<TAB>sentence2<TAB>label

JSON lines (`.jsonl`): one object a line.

    {"sentence": "...", "sentence2": "...", "label": "..."}

`sentence2` makes it a pair task; `label` may be missing where labels are not required. All
lines have the same keys, and no others.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from tf_efficientbert.data.rows import Row, examples_from_rows
from tf_efficientbert.data.table import read_table
from tf_efficientbert.data.task import Examples
from tf_efficientbert.data.text_file import (
    line_error,
    parse_json,
    read_lines,
    shown,
    without_trailing_blanks,
)
from tf_efficientbert.errors import UserError

__all__ = ["load"]

_KEYS = ("sentence", "sentence2", "label")

_Records = Iterator[tuple[int, dict[str, object]]]
# The line that gives the keys (the header or the first object), the keys, all records.
_OpenFile = tuple[int, tuple[str, ...], _Records]


def load(path: str | Path, labels: Sequence[str] | None, require_labels: bool = True) -> Examples:
    """Reads a `.tsv` or `.jsonl` file.

    Args:
        path: the file; its extension says which format it is in.
        labels: the class names, or None for regression.
        require_labels: whether a file without labels is an error. Labels that are there are
            read and checked all the same.

    Returns:
        The examples; class indices follow the order of `labels`.

    Raises:
        UserError: the file cannot be read, or a line of it is wrong; the message names both.
    """
    if labels is not None and len(labels) == 0:
        raise UserError("labels is an empty list: give the class names, or none for regression")
    line, keys, records = _format_of(path)(path)
    _check_keys(path, line, keys, require_labels)
    rows = _rows(path, [key for key in _KEYS if key in keys], records)
    return examples_from_rows(path, rows, labels or (), labelled="label" in keys)


def _rows(path: str | Path, keys: list[str], records: _Records) -> Iterator[Row]:
    for line, record in records:
        if set(record) != set(keys):
            problem = f"keys are {shown(list(record))} but the first example has {keys}"
            raise line_error(path, line, problem)
        sentences = tuple(record[key] for key in keys if key != "label")
        yield Row(line, sentences, record.get("label"))


def _check_keys(path: str | Path, line: int, keys: tuple[str, ...], require_labels: bool) -> None:
    unknown = [key for key in keys if key not in _KEYS]
    if unknown:
        problem = f"{shown(unknown[0])} is not a known column or key; known are {list(_KEYS)}"
        raise line_error(path, line, problem)
    for key in ("sentence", "label") if require_labels else ("sentence",):
        if key not in keys:
            raise line_error(path, line, f"{key!r} is missing; found {shown(list(keys))}")
    if len(set(keys)) < len(keys):
        raise line_error(path, line, f"a column stands twice in the header {list(keys)}")


def _open_tsv(path: str | Path) -> _OpenFile:
    columns, rows = read_table(path)
    records = ((line, dict(zip(columns, fields, strict=True))) for line, fields in rows)
    return 1, columns, records


def _open_jsonl(path: str | Path) -> _OpenFile:
    records = _json_objects(path)
    first = next(records, None)
    if first is None:
        raise UserError(f"{path}: the file is empty; expected a JSON object a line")
    line, record = first
    return line, tuple(record), chain([first], records)


def _json_objects(path: str | Path) -> _Records:
    for number, line in without_trailing_blanks(read_lines(path)):
        record = parse_json(path, line, number)
        if not isinstance(record, dict):
            raise line_error(path, number, f"not a JSON object: {shown(line)}")
        yield number, record


_FORMATS: dict[str, Callable[[str | Path], _OpenFile]] = {
    ".tsv": _open_tsv,
    ".jsonl": _open_jsonl,
}


def _format_of(path: str | Path) -> Callable[[str | Path], _OpenFile]:
    extension = Path(path).suffix.lower()
    if extension not in _FORMATS:
        raise UserError(f"{path}: extension is {extension!r}, expected one of {list(_FORMATS)}")
    return _FORMATS[extension]
