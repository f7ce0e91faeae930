"""Exact match and F1 on SQuAD 1.1 (Rajpurkar et al., 2016) and 2.0 (Rajpurkar et al., 2018)."""

import re
import string
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tf_efficientbert.data.squad import read_questions
from tf_efficientbert.data.text_file import read_json, shown
from tf_efficientbert.errors import UserError

__all__ = ["VERSIONS", "compute", "normalize_answer"]

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def compute(
    dataset_json: Mapping | str | Path, predictions: Mapping[str, str], version: str | float
) -> dict[str, float]:
    """Scores answers with the normalisation and word F1 of the official evaluation.

    A question's score is the best over its reference answers. In 2.0 the correct answer to an
    unanswerable question is the empty text. A question without a prediction scores 0; a
    prediction for a question that is not in the set is ignored.

    This differs from the official script for 2.0 in two points: the script leaves questions
    without a prediction out of the mean, and it drops reference answers that normalise to nothing
    (a stray ".", in 3 of the 11,873 dev questions). Here the empty text is correct for them.

    Args:
        dataset_json: the set in SQuAD's own JSON structure, or the path of the file.
        predictions: question id -> answer text.
        version: "1.1" or "2.0"; "v1.1" and the number 1.1 are the same.

    Returns:
        {"exact_match", "f1"}: means over all questions, as percentages.

    Raises:
        ValueError: the version is unknown or a prediction is not a text.
        UserError: the file cannot be read, or is not a set of that version.
    """
    version = str(version).removeprefix("v")
    if version not in _TOKEN_F1:
        raise ValueError(f"version is {version!r}, expected one of {list(_TOKEN_F1)}")
    exact_scores, f1_scores = [], []
    for question_id, references in _questions(dataset_json, version):
        exact_match, f1 = 0.0, 0.0
        if question_id in predictions:
            answer = predictions[question_id]
            if not isinstance(answer, str):
                raise ValueError(f"prediction for {question_id!r} is {shown(answer)}, not a text")
            exact_match, f1 = _score(answer, references, _TOKEN_F1[version])
        exact_scores.append(exact_match)
        f1_scores.append(f1)
    return {"exact_match": _mean_percent(exact_scores), "f1": _mean_percent(f1_scores)}


def normalize_answer(text: str) -> str:
    """Lower-cases, removes ASCII punctuation and articles, and separates words by one space."""
    without_punctuation = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", without_punctuation).split())


def _score(
    answer: str, references: Sequence[str], token_f1: Callable[[list[str], list[str]], float]
) -> tuple[float, float]:
    """Returns (exact match, F1) in [0, 1]; the references are already normalised."""
    answer = normalize_answer(answer)
    exact_match = float(answer in references)
    f1 = max(token_f1(answer.split(), reference.split()) for reference in references)
    return exact_match, f1


def _overlap_f1(answer: list[str], reference: list[str]) -> float:
    """Returns the harmonic mean of precision and recall over the words, counting repeats."""
    overlap = (Counter(answer) & Counter(reference)).total()
    return 2.0 * overlap / (len(answer) + len(reference)) if overlap else 0.0


def _overlap_f1_or_both_empty(answer: list[str], reference: list[str]) -> float:
    if not answer or not reference:
        return float(answer == reference)
    return _overlap_f1(answer, reference)


_TOKEN_F1 = {"1.1": _overlap_f1, "2.0": _overlap_f1_or_both_empty}
VERSIONS = tuple(_TOKEN_F1)


def _questions(dataset_json: Mapping | str | Path, version: str) -> Iterator[tuple[str, list[str]]]:
    """Yields (question id, normalised reference answers); no answer is the empty text in 2.0."""
    source = "dataset_json"
    if isinstance(dataset_json, str | Path):
        source, dataset_json = str(dataset_json), read_json(dataset_json)
    questions = read_questions(dataset_json, source, _reference)
    if not questions:
        raise UserError(f"{source}: holds no questions; at least one is needed")
    for question_id, references in questions:
        if version == "2.0":
            references = references or [""]
        if not references:
            raise UserError(
                f"{source}: question {question_id!r} has no answer; "
                "score a set with unanswerable questions as version 2.0"
            )
        yield question_id, references


def _reference(_: dict, question: dict) -> tuple[str, list[str]]:
    return question["id"], [normalize_answer(answer["text"]) for answer in question["answers"]]


def _mean_percent(scores: list[float]) -> float:
    return 100.0 * sum(scores) / len(scores)
