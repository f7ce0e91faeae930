"""Makes checked examples of the rows of a file, for GLUE's files and the user's."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.tabular import BadRow, character_problem
from tf_efficientbert.data.text_file import shown
from tf_efficientbert.errors import UserError
from tf_efficientbert.tasks import LabelledTask

__all__ = ["ExampleRow", "bad_rows_error", "checked_texts", "examples_of"]

_NAMED_ROWS = 5


class ExampleRow(NamedTuple):
    """One example as read from a file; `label` is None if the file has no labels."""

    line: int
    texts: tuple[object, ...]
    label: object = None
    id: object = None


def checked_texts(
    rows: Iterable[ExampleRow], allow_empty: bool = False
) -> tuple[list[ExampleRow], list[BadRow]]:
    """Returns the rows with valid texts, and the others with the reason."""
    good, bad = [], []
    for row in rows:
        problem = next(filter(None, (_problem(text, allow_empty) for text in row.texts)), None)
        if problem:
            bad.append(BadRow(row.line, problem))
        else:
            good.append(row)
    return good, bad


def examples_of(
    rows: Sequence[ExampleRow], task: LabelledTask | None
) -> tuple[Examples | None, list[BadRow]]:
    """Returns the examples with valid labels, and the other rows with the reason.

    Args:
        rows: rows with valid texts, the same number in each.
        task: None if the rows have no labels.

    Returns: (examples, bad rows); the examples are None if no row is valid.
    """
    good, targets, bad = [], [], []
    for row in rows:
        try:
            target = task.target(row.label) if task else None
        except ValueError as error:
            bad.append(BadRow(row.line, str(error)))
            continue
        good.append(row)
        targets.append(target)
    if not good:
        return None, bad
    columns = tuple(zip(*(row.texts for row in good), strict=True))
    ids = tuple(str(row.id) for row in good) if all(row.id is not None for row in good) else None
    examples = Examples(
        texts=columns[0],
        second_texts=columns[1] if len(columns) == 2 else None,
        labels=task.targets(targets) if task else None,
        ids=ids,
    )
    return examples, bad


def bad_rows_error(
    path: str | Path, bad: Sequence[BadRow], advice: str = "", unit: str = "line"
) -> UserError:
    """Returns an error that counts the bad rows and lists the first ones.

    Args:
        advice: a sentence on what to do.
        unit: what the row numbers count, see `Table`.
    """
    ordered = sorted(bad, key=lambda each: each.line)
    if len(ordered) == 1:
        advice = f". {advice}" if advice else ""
        return UserError(f"{path}, {unit} {ordered[0].line}: {ordered[0].reason}{advice}")
    lines = [f"\n  {unit} {each.line}: {each.reason}" for each in ordered[:_NAMED_ROWS]]
    more = len(ordered) - len(lines)
    rest = f"\n  and {more} more" if more else ""
    advice = f"\n{advice}" if advice else ""
    return UserError(f"{path}: {len(ordered)} bad rows:{''.join(lines)}{rest}{advice}")


def _problem(text: object, allow_empty: bool) -> str | None:
    if text is None or (isinstance(text, float) and text != text):
        return "the text is missing"
    if not isinstance(text, str):
        return f"text {shown(text)} is not a string"
    if problem := character_problem(text):  # JSON escapes can encode what UTF-8 cannot
        return f"text {shown(text)} holds {problem}"
    if not allow_empty and not text.strip():
        return "the text is empty"
    return None
