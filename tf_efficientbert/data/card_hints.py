"""The hints of a data card, one sentence for each problem in the data."""

import collections
import itertools
import unicodedata
from collections.abc import Collection, Sequence

import numpy as np

from tf_efficientbert.data.text_file import shown

__all__ = ["hints"]

_FEW_ROWS = 100
_FEW_ROWS_OF_CLASS = 10
_IMBALANCE = 10  # rows of the most frequent class for each of the rarest
_SHARE = 0.01  # of texts that are cut, and of word pieces that are [UNK]
_LONGER = (32, 64, 128, 256, 512)  # BERT has 512 positions
_LISTED = 5
_SEPARATOR = "|"


def hints(card: dict, lengths: np.ndarray, is_drawn: bool) -> list[str]:
    """Returns a sentence for each problem in the data.

    Args:
        card: see `card.describe`, without "hints".
        lengths: shape [texts]; the tokens of each uncut text.
        is_drawn: whether the rows are a sample of all rows.
    """
    found = [
        None if is_drawn else _few_rows(card["splits"]),
        *(
            _missing_classes(split, counts)
            for split, counts in card["labels_by_split"].items()
            if card["splits"][split]
        ),
        *_of_training_classes(card["labels_by_split"].get("train", {})),
        *_alike(card["labels"]),
        _separated(card),
        _cut(card["tokens"], lengths),
        _contradicting(card["duplicates"]["contradicting"]),
        *itertools.starmap(_overlap, card["overlap"].items()),
        _unknown(card["unknown_token_share"]),
    ]
    return [hint for hint in found if hint]


def _few_rows(splits: dict[str, int]) -> str | None:
    rows = splits.get("train", _FEW_ROWS)
    if rows >= _FEW_ROWS:
        return None
    return f"{_counted(rows, 'training row')}: fewer than {_FEW_ROWS} are rarely enough"


def _missing_classes(split: str, counts: dict[str, int]) -> str | None:
    missing = [shown(name) for name, count in counts.items() if not count]
    if not missing:
        return None
    text = f"No row of {_listed(missing)} in {split}"
    if split == "train":
        return f"{text}: a model cannot learn a class without examples; add rows"
    return f"{text}: scores on {split} do not cover it; add rows"


def _of_training_classes(counts: dict[str, int]) -> list[str]:
    counts = {name: count for name, count in counts.items() if count}
    if not counts:
        return []
    found = []
    rare = sorted(
        (name for name, count in counts.items() if count < _FEW_ROWS_OF_CLASS), key=counts.get
    )
    if rare:
        named = _listed([f"{shown(name)} {counts[name]}" for name in rare])
        found.append(
            f"Fewer than {_FEW_ROWS_OF_CLASS} training rows of {named}: add rows, or merge classes"
        )
    most, least = max(counts, key=counts.get), min(counts, key=counts.get)
    if counts[most] > _IMBALANCE * counts[least]:
        found.append(
            f"{shown(most)} has {counts[most]:,} training rows and {shown(least)} "
            f"{counts[least]:,}: consider --class_weights=balanced and --metric=macro_f1"
        )
    return found


def _alike(names: Collection[str]) -> list[str]:
    """Hints on class names that look the same."""
    groups = collections.defaultdict(list)
    for name in names:
        groups[" ".join(unicodedata.normalize("NFKC", name).casefold().split())].append(name)
    return [
        f"{' and '.join(map(shown, group))} are different classes, but differ only in case, "
        "spaces or Unicode form: use one spelling"
        for group in groups.values()
        if len(group) > 1
    ]


def _separated(card: dict) -> str | None:
    """A hint on class names that may each be several labels."""
    several = [name for name in card["labels"] if _SEPARATOR in name]
    if not several:
        return None
    return (
        f"{_listed(list(map(shown, several)))} contain {_SEPARATOR!r}: if a text can have several "
        "labels, set --task_kind=multilabel"
    )


def _cut(tokens: dict, lengths: np.ndarray) -> str | None:
    if tokens["cut"] <= _SHARE:
        return None
    cut, limit = tokens["cut_count"], tokens["max_tokens"]
    verbs = "is longer than {} tokens and is" if cut == 1 else "are longer than {} tokens and are"
    text = f"{cut:,} of {_counted(len(lengths), 'text')} {verbs.format(limit)} cut there"
    longer = [length for length in _LONGER if length > limit]
    if not longer:
        return f"{text}; put the important part first, or shorten them"
    enough = next((n for n in longer if (lengths > n).mean() <= _SHARE), longer[-1])
    left = int((lengths > enough).sum())
    kept = f"cuts only {left:,}" if left else "keeps all of them whole"
    return f"{text}; --max_tokens={enough} {kept}"


def _contradicting(count: int) -> str | None:
    if not count:
        return None
    return (
        f"{_counted(count, 'text')} with different labels, ignoring case, spaces and punctuation: "
        "unless these matter, at most one label can be right; correct the labels"
    )


def _overlap(pair: str, count: int) -> str | None:
    first, second = pair.split("/")
    if not count:
        return None
    rows = _counted(count, "row")
    return (
        f"{rows} of {second} repeat a text of {first}, so scores on {second} are too high: "
        f"remove the text from one of the two"
    )


def _unknown(share: float) -> str | None:
    if share <= _SHARE:
        return None
    return (
        f"{100 * share:.1f} % of the word pieces are [UNK], which the model cannot read: use a "
        "--teacher_dir whose vocabulary covers the language and characters of these texts"
    )


def _listed(names: Sequence[str]) -> str:
    """Returns `'a'`, or `7 classes ('a', 'b', 'c', 'd', 'e' and 2 more)`."""
    if len(names) == 1:
        return names[0]
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return f"{len(names):,} classes ({', '.join(names[:_LISTED])}{more})"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
