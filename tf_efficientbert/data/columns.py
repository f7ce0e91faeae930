"""Finds the text, label and id columns of a file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tf_efficientbert.data.table_file import Table
from tf_efficientbert.data.text_file import shown
from tf_efficientbert.errors import UserError

__all__ = ["Columns", "find_columns"]

_PAIRS = (
    ("text", "second_text"),
    ("text", "text2"),
    ("text", "text_pair"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("sentence", "sentence2"),
    ("sentence1", "sentence2"),
    ("sentence_a", "sentence_b"),
    ("premise", "hypothesis"),
    ("question", "context"),
    ("question", "sentence"),
    ("question", "passage"),
    ("question", "answer"),
    ("question1", "question2"),
    ("query", "document"),
    ("query", "passage"),
)
_SINGLES = (
    *("text", "sentence", "review", "review_text", "content", "question", "query", "utterance"),
    *("message", "comment", "comment_text", "tweet", "post", "body", "document", "description"),
    *("headline", "snippet", "email", "sms", "context", "premise"),
)
_LABELS = (
    *("label", "labels", "class", "category", "categories", "intent", "target", "score"),
    *("sentiment", "rating", "stars", "topic", "emotion", "gold_label", "tag", "tags"),
    *("is_duplicate", "quality"),
)
_IDS = ("id", "idx", "guid", "uid")
_SAMPLE = 3  # rows whose values an error shows


@dataclass(frozen=True)
class Columns:
    """The columns of a file by their role.

    Attributes:
        texts: one column, or two for pairs.
        labels: one column, or several columns of 0 and 1, one per label, or none.
        id: the column of the examples' ids, or None.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    id: str | None

    def by_role(self) -> dict[str, str]:
        """Returns {"text", "second_text", "label", "id"} -> column, for the roles that exist."""
        roles = dict(zip(("text", "second_text"), self.texts, strict=False))
        if self.labels:
            roles["label"] = ", ".join(self.labels)
        return {**roles, **({"id": self.id} if self.id else {})}


def find_columns(
    table: Table,
    *,
    text: str = "",
    second_text: str = "",
    label: str = "",
    id_: str = "",
    label_required: bool = True,
) -> Columns:
    """Returns the named columns; detects those that are not named if the choice is unambiguous.

    Args:
        text, second_text, label, id_: names in any case, or "". `label` may be several names,
            separated by commas.
        label_required: whether to detect the label if it is not named.

    Raises:
        UserError: a named column is missing or named twice, or no column or several columns fit a
            role. The message lists the columns with sample values, and the flag to set.
    """
    named = {
        "text_column": _named(table, text, "text_column"),
        "second_text_column": _named(table, second_text, "second_text_column"),
        "id_column": _named(table, id_, "id_column"),
    }
    labels = _named_labels(table, label) if label else ()
    given = [*filter(None, named.values()), *labels]
    for column in given:
        if given.count(column) > 1:
            raise UserError(f"{table.path}: the flags name column {column!r} twice")
    texts = _texts(table, named["text_column"], named["second_text_column"], given)
    if label_required and not labels:
        labels = _label(table, texts, given)
    found = [c for c in _matching(table, _IDS) if c not in (*texts, *labels)]
    identity = named["id_column"] or (found[0] if len(found) == 1 else None)
    return Columns(texts, labels, identity)


def _named(table: Table, name: str, flag: str) -> str:
    return _column(table, name, f"--{flag}") if name else ""


def _column(table: Table, name: str, flag: str) -> str:
    """Returns the column of that name; case matters only if two names differ in nothing else."""
    for column in table.columns:
        if column == name:
            return column
    for column in table.columns:
        if column.lower() == name.strip().lower():
            return column
    raise UserError(f"{flag}={name}: {table.path} has no such column. {_listed(table)}")


def _texts(table: Table, text: str, second: str, given: Sequence[str]) -> tuple[str, ...]:
    """Returns the text columns; `given` are the columns that flags name for any role."""
    if text:
        return (text, second) if second else (text,)
    singles = [column for column in _matching(table, _SINGLES) if column not in given]
    if second:
        if len(singles) == 1:
            return singles[0], second
    else:
        pairs = [
            (first[0], other[0])
            for a, b in _PAIRS
            if (first := _matching(table, (a,)))
            and (other := _matching(table, (b,)))
            and not {first[0], other[0]} & {*given}
        ]
        if len(pairs) == 1 and not set(singles) - set(pairs[0]):
            return pairs[0]
        if not pairs and len(singles) == 1:
            return (singles[0],)
    problem = "several columns may be the text" if singles else "no column has a name for texts"
    raise UserError(
        f"{table.path}: {problem}. {_listed(table)} Set --text_column=NAME, and for pairs also "
        "--second_text_column=NAME"
    )


def _named_labels(table: Table, label: str) -> tuple[str, ...]:
    if label.lower() in (column.lower() for column in table.columns):  # a name may contain a comma
        return (_column(table, label, "--label_column"),)
    names = [name.strip() for name in label.split(",") if name.strip()]
    return tuple(_column(table, name, "--label_column") for name in names)


def _label(table: Table, texts: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    found = [column for column in _matching(table, _LABELS) if column not in (*texts, *given)]
    if len(found) == 1:
        return (found[0],)
    problem = "several columns may be the label" if found else "no column has a name for labels"
    raise UserError(f"{table.path}: {problem}. {_listed(table)} Set --label_column=NAME")


def _matching(table: Table, names: Sequence[str]) -> list[str]:
    """Returns the columns with one of these names, ignoring case, spaces and hyphens."""
    return [c for c in table.columns if re.sub(r"[\s\-]+", "_", c.strip().lower()) in names]


def _listed(table: Table) -> str:
    lines = []
    for column in table.columns:
        values = (shown(row.values.get(column)) for row in table.rows[:_SAMPLE])
        lines.append(f"\n  {column!r}: {', '.join(values)}")
    return f"Its columns, with their first values:{''.join(lines)}\n"
