"""The default task: film-review snippets, negative or positive.

10,605 snippets, each with the mean of at least 15 people's ratings from -4 to 4 (C. J. Hutto and
E. Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text",
ICWSM 2014). A rating above 1 or below -1 gives a label; snippets between have none.
"""

import functools
import html
import io
import tarfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tf_efficientbert.data.delimited_records import records
from tf_efficientbert.data.package_data import SNIPPETS, read_archive
from tf_efficientbert.data.text_keys import key_hash, text_key

__all__ = ["LABELS", "NAME", "Snippet", "Split", "load", "parse", "split_snippets", "unlabelled"]

NAME = "snippets"
LABELS = ("negative", "positive")

_ARCHIVE_INSIDE = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
_FILE_INSIDE = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
_SIZES = {"train": 2_400, "dev": 600, "test": 3_000}


@dataclass(frozen=True)
class Snippet:
    """A text and the index of its label, or None if its rating gives none."""

    text: str
    label: int | None


@dataclass(frozen=True)
class Split:
    """The snippets by use, each in a stable order that mixes the labels.

    Attributes:
        labelled: split -> its snippets.
        unlabelled: the texts of all other snippets.
    """

    labelled: Mapping[str, tuple[Snippet, ...]]
    unlabelled: tuple[str, ...]


def load(split: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Returns the texts and label indices of "train" (2,400), "dev" (600) or "test" (3,000).

    In each split, both labels have the same number of texts.

    Raises:
        UserError: the data is missing or damaged; `tf-efficientbert fetch_data` downloads it.
    """
    snippets = _split().labelled[split]
    return tuple(s.text for s in snippets), tuple(s.label for s in snippets)


def unlabelled() -> tuple[str, ...]:
    """Returns the texts of all other snippets, 4,603.

    Raises:
        UserError: the data is missing or damaged; `tf-efficientbert fetch_data` downloads it.
    """
    return _split().unlabelled


def parse(content: bytes) -> list[Snippet]:
    """Reads "id, mean rating, text", tab-separated, with literal quotes.

    HTML entities become characters; a run of white space becomes one space.
    """
    snippets = []
    for record in records(content.decode("utf-8"), "\t", quoted=False):
        _, rating, text = record.fields
        label = int(float(rating) > 1) if abs(float(rating)) > 1 else None
        snippets.append(Snippet(" ".join(html.unescape(text).split()), label))
    return snippets


def split_snippets(snippets: Sequence[Snippet], sizes: Mapping[str, int]) -> Split:
    """Splits by the hash of the normalized text, independent of the order of the snippets.

    Of texts that are equal except for case, spaces and punctuation, only the first in
    alphabetical order stays; none stays if their labels differ.

    Args:
        snippets: at least half the sum of `sizes` for each label, not counting equal ones.
        sizes: split -> number of snippets, even: half of them for each label.

    Returns:
        The splits of these sizes, and all other texts.
    """
    groups: dict[str, set[Snippet]] = defaultdict(set)
    for snippet in snippets:
        groups[text_key(snippet.text)].add(snippet)
    ordered = [
        min(groups[key], key=lambda snippet: snippet.text)
        for key in sorted(groups, key=lambda key: (key_hash(key), key))
        if len({snippet.label for snippet in groups[key]}) == 1
    ]
    by_label = [[i for i, s in enumerate(ordered) if s.label == label] for label in (0, 1)]
    rows, start = {}, 0
    for split, size in sizes.items():
        end = start + size // 2
        rows[split] = sorted(row for label in by_label for row in label[start:end])
        start = end
    taken = {row for chosen in rows.values() for row in chosen}
    return Split(
        {split: tuple(ordered[row] for row in chosen) for split, chosen in rows.items()},
        tuple(snippet.text for row, snippet in enumerate(ordered) if row not in taken),
    )


def _split() -> Split:
    return _split_of(read_archive(SNIPPETS))


@functools.lru_cache(maxsize=1)
def _split_of(archive: bytes) -> Split:
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as outer,
        tarfile.open(fileobj=outer.extractfile(_ARCHIVE_INSIDE)) as inner,
    ):
        content = inner.extractfile(_FILE_INSIDE).read()
    return split_snippets(parse(content), _SIZES)
