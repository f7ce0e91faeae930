"""Reads the questions of a file in SQuAD's JSON structure (Rajpurkar et al., 2016)."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tf_efficientbert.data.text_file import read_json
from tf_efficientbert.errors import UserError

_Read = TypeVar("_Read")


@dataclasses.dataclass(frozen=True)
class Question:
    """A question about a text.

    Attributes:
        id: its id in the set.
        question, context: the texts.
        answers: the reference answers; none if the question is unanswerable (2.0).
    """

    id: str
    question: str
    context: str
    answers: tuple[str, ...]


def load(path: str | Path) -> list[Question]:
    """Returns the questions of a file in order, at least one.

    Raises:
        UserError: the file cannot be read, is not in SQuAD's structure, or has no question.
    """
    found = read_questions(
        read_json(path),
        str(path),
        lambda paragraph, asked: Question(
            id=asked["id"],
            question=asked["question"],
            context=paragraph["context"],
            answers=tuple(answer["text"] for answer in asked["answers"]),
        ),
    )
    if not found:
        raise UserError(f"{path}: holds no questions; at least one is needed")
    return found


def read_questions(
    dataset: object, source: str, read: Callable[[dict, dict], _Read]
) -> list[_Read]:
    """Returns `read(paragraph, question)` for each question of a set.

    Raises:
        UserError: the set is not in SQuAD's structure; the message names `source`.
    """
    try:
        return [
            read(paragraph, question)
            for article in dataset["data"]
            for paragraph in article["paragraphs"]
            for question in paragraph["qas"]
        ]
    except (AttributeError, KeyError, TypeError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise UserError(f"{source}: not in SQuAD's JSON structure ({problem})") from None
