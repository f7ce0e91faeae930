"""Checked rows of a labelled file made into examples: what GLUE and the user's files share."""

import contextlib
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tf_efficientbert.data.task import Examples
from tf_efficientbert.data.text_file import line_error, shown
from tf_efficientbert.errors import UserError

__all__ = ["Row", "examples_from_rows"]

_FLOAT32_MAX = float(np.finfo(np.float32).max)


class Row(NamedTuple):
    """One example as it stands in the file, not yet checked; the label is None without labels."""

    line: int
    sentences: tuple[object, ...]
    label: object


def examples_from_rows(
    path: str | Path,
    rows: Iterable[Row],
    labels: Sequence[str],
    *,
    labelled: bool,
    allow_empty_sentences: bool = False,
) -> Examples:
    """Checks every row and makes the examples.

    Args:
        path: the file, for the messages.
        rows: the file's rows, all with the same number of sentences.
        labels: the class names; empty for regression.
        labelled: whether the rows have labels.
        allow_empty_sentences: whether a sentence may be empty.

    Raises:
        UserError: there is no row, or a sentence or label of a row is wrong.
    """
    indices = {label: index for index, label in enumerate(labels)}
    sentences, values = [], []
    for row in rows:
        sentences.append(tuple(_text(path, row.line, text) for text in row.sentences))
        if not allow_empty_sentences and not all(text.strip() for text in sentences[-1]):
            raise line_error(path, row.line, "empty sentence; fill it in or remove the line")
        if labelled and indices:
            values.append(_class_index(path, row.line, row.label, indices))
        elif labelled:
            values.append(_score(path, row.line, row.label))
    if not sentences:
        raise UserError(f"{path}: holds no examples; at least one is needed")
    columns = tuple(zip(*sentences, strict=True))
    return Examples(
        sentences=columns[0],
        second_sentences=columns[1] if len(columns) == 2 else None,
        labels=np.array(values, dtype=np.int32 if indices else np.float32) if labelled else None,
    )


def _text(path: str | Path, line: int, value: object) -> str:
    if not isinstance(value, str):
        raise line_error(path, line, f"sentence {shown(value)} is not a string")
    if "\0" in value or not _is_encodable(value):
        problem = f"sentence {shown(value)} holds a NUL or an unpaired surrogate character"
        raise line_error(path, line, problem)
    return value


def _is_encodable(text: str) -> bool:
    # Escapes in JSON can write what no UTF-8 text holds.
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _class_index(path: str | Path, line: int, value: object, indices: dict[str, int]) -> int:
    # JSON may give the label "1" as the number 1; true and 1.0 are no such names.
    name = str(value) if type(value) is int else value
    if not isinstance(name, str) or name not in indices:
        expected = ", ".join(map(repr, indices))
        raise line_error(path, line, f"label {shown(value)} is not one of {expected}")
    return indices[name]


def _score(path: str | Path, line: int, value: object) -> float:
    score = math.nan
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):
            score = float(value)
    # The comparison is false for NaN too.
    if not abs(score) <= _FLOAT32_MAX:
        raise line_error(path, line, f"label {shown(value)} is not a finite number")
    return score
