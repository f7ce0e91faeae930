"""Which column of a file is the text, which the label."""

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
        texts: one or, of pairs, two.
        labels: one; several where each is a label that an example has (1) or has not (0); none.
        id: the examples' names, or None.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    id: str | None

    def by_role(self) -> dict[str, str]:
        """{"text", "second_text", "label", "id"}, as far as there are such."""
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
    """The columns of those names or, where none is given, those whose names leave no doubt.

    Args:
        text, second_text, label, id_: names in any case, or "". `label` may be several, separated
            by commas.
        label_required: whether the label is looked for where it is not named.

    Raises:
        UserError: a name is not there or stands for two things, or there is none or more than one
            that it could be. The
            message lists the columns with samples, and the flag to type.
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
            raise UserError(f"{table.path}: column {column!r} is named for two things at once")
    texts = _texts(table, named["text_column"], named["second_text_column"], given)
    if label_required and not labels:
        labels = _label(table, texts, given)
    found = [c for c in _matching(table, _IDS) if c not in (*texts, *labels)]
    identity = named["id_column"] or (found[0] if len(found) == 1 else None)
    return Columns(texts, labels, identity)


def _named(table: Table, name: str, flag: str) -> str:
    return _column(table, name, f"--{flag}") if name else ""


def _column(table: Table, name: str, flag: str) -> str:
    """The column of that name; its case counts only where two differ in nothing else."""
    for column in table.columns:
        if column == name:
            return column
    for column in table.columns:
        if column.lower() == name.strip().lower():
            return column
    raise UserError(f"{flag}={name}: {table.path} has no such column. {_listed(table)}")


def _texts(table: Table, text: str, second: str, given: Sequence[str]) -> tuple[str, ...]:
    """`given` are the columns that flags name, for whatever they name them."""
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
    problem = "more than one column may be the text" if singles else "no column is named as a text"
    raise UserError(
        f"{table.path}: {problem}. {_listed(table)} Name it by --text_column=NAME, and of pairs "
        "the second one by --second_text_column=NAME"
    )


def _named_labels(table: Table, label: str) -> tuple[str, ...]:
    if label.lower() in (column.lower() for column in table.columns):  # it may hold a comma
        return (_column(table, label, "--label_column"),)
    names = [name.strip() for name in label.split(",") if name.strip()]
    return tuple(_column(table, name, "--label_column") for name in names)


def _label(table: Table, texts: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    found = [column for column in _matching(table, _LABELS) if column not in (*texts, *given)]
    if len(found) == 1:
        return (found[0],)
    problem = "more than one column may be the label" if found else "no column is named as a label"
    raise UserError(f"{table.path}: {problem}. {_listed(table)} Name it by --label_column=NAME")


def _matching(table: Table, names: Sequence[str]) -> list[str]:
    """The columns that are called so, whatever their case, blanks and hyphens."""
    return [c for c in table.columns if re.sub(r"[\s\-]+", "_", c.strip().lower()) in names]


def _listed(table: Table) -> str:
    lines = []
    for column in table.columns:
        values = (shown(row.values.get(column)) for row in table.rows[:_SAMPLE])
        lines.append(f"\n  {column!r}: {', '.join(values)}")
    return f"Its columns, with their first values:{''.join(lines)}\n"
