"""Texts of the task's kind without labels: the fine-tuned teacher labels them for its students."""

import dataclasses
import logging
import math
from collections.abc import Iterable

import numpy as np

from tf_efficientbert.data import snippets
from tf_efficientbert.data.batching import EncodedExamples, joined
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.file_options import FileOptions
from tf_efficientbert.data.own_data import read_texts
from tf_efficientbert.data.task_data import TaskData
from tf_efficientbert.data.text_keys import text_key
from tf_efficientbert.errors import UserError
from tf_efficientbert.options import input_option, option

__all__ = ["UnlabelledOptions", "read_unlabelled", "with_unlabelled"]

_log = logging.getLogger(__name__)

_SHARE = 0.75
_DRAW_SEED = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnlabelledOptions:
    """Options for texts without labels, beside the training set."""

    unlabelled_file: str = input_option(
        "",
        "texts like the task's but without labels, in any format of --train_file; students learn "
        "the teacher's predictions on them; snippets: those of the default task",
    )
    unlabelled_share: float = option(
        _SHARE, "largest share of unlabelled texts among the examples that students learn from"
    )

    def __post_init__(self) -> None:
        if not 0 < self.unlabelled_share < 1:
            raise UserError(
                f"--unlabelled_share={self.unlabelled_share}: expected a number between 0 and 1"
            )
        if self.unlabelled_share != _SHARE and not self.unlabelled_file:
            raise UserError("--unlabelled_share has no effect without --unlabelled_file")

    def require_no_predictions(self, teacher_predictions: str) -> None:
        """Raises UserError if a file of predictions replaces the teacher that labels the texts."""
        if self.unlabelled_file and teacher_predictions:
            raise UserError(
                "--unlabelled_file and --teacher_predictions exclude each other: the file has no "
                "predictions for these texts"
            )


def read_unlabelled(path: str, share: float, options: FileOptions, data: TaskData) -> Examples:
    """Reads the texts, without those that the task's sets have, and draws as many as are used.

    A text of the dev or test set would let students learn what they are scored on. A repeated text,
    or one of the training set, would count twice. Case, spaces and punctuation do not matter. The
    log counts what is left out. All jobs draw the same texts, in the same random order.

    Args:
        path: the file, or "snippets".
        share: the largest share of these texts in the training set joined with them.
        options: names of text columns, delimiter, encoding and what to do with bad rows.
        data: the task's sets.

    Raises:
        UserError: the file cannot be read, has bad rows, pairs instead of single texts or the
            other way round; or no text is left.
    """
    examples = _read(path, options, data.task.pair)
    keys = [text_key(*row) for row in zip(*examples.columns, strict=True)]
    train = data.load("train")
    scored = _keys(data.whole_scored_sets())
    seen, kept = _keys([train]), []
    for row, key in enumerate(keys):
        if key not in scored and key not in seen:
            kept.append(row)
            seen.add(key)
    from_scored = sum(key in scored for key in keys)
    left_out = (
        f"left out: {from_scored} that are in the dev or test set, "
        f"{len(keys) - len(kept) - from_scored} repeated or in the training set"
    )
    if not kept:
        raise UserError(f"--unlabelled_file={path}: of {len(keys)} texts none is left; {left_out}")
    most = math.floor(share / (1 - share) * len(train) + 1e-6)  # despite rounding of the quotient
    if not most:
        raise UserError(
            f"--unlabelled_share={share} of {len(train)} training examples and unlabelled texts is "
            "less than one text"
        )
    drawn = np.random.default_rng(_DRAW_SEED).permutation(kept)[:most]
    _log.info("%s: uses %d of %d texts without labels; %s", path, len(drawn), len(keys), left_out)
    return examples.take(drawn)


def with_unlabelled(examples: EncodedExamples, unlabelled: EncodedExamples) -> EncodedExamples:
    """Returns the examples and, after them, the unlabelled ones.

    Labels stay only if both have them: the teacher labels a regression's texts, and no other task
    learns from labels.
    """
    if unlabelled.labels is None:
        examples = dataclasses.replace(examples, labels=None)
    return joined(examples, unlabelled)


def _keys(sets: Iterable[Examples]) -> set[str]:
    return {text_key(*row) for each in sets for row in zip(*each.columns, strict=True)}


def _read(path: str, options: FileOptions, pair: bool) -> Examples:
    if path == snippets.NAME:
        if pair:
            raise UserError(f"--unlabelled_file={path} has single texts, but the task takes pairs")
        return Examples(snippets.unlabelled(), None, None)
    names = ("text_column", "second_text_column", "delimiter", "encoding", "bad_rows")
    return read_texts(path, FileOptions(**{name: getattr(options, name) for name in names}), pair)
