"""The labelled review sentences that come with the package."""

import hashlib
from pathlib import Path

import numpy as np

from tf_efficientbert.data import custom
from tf_efficientbert.data.task import Examples, Task

SHIPPED = Path(__file__).parent / "shipped"
TASK = Task("reviews", ("negative", "positive"), pair=False)
_SPLITS = {"train": range(0, 70), "dev": range(70, 80), "test": range(80, 100)}


def load(split: str) -> Examples:
    """Sentences of "train" (70%), "dev" (10%) or "test" (20%).

    A sentence belongs to a split by a hash of its text, so equal sentences are in one split.
    """
    examples = custom.load(SHIPPED / "reviews.tsv", TASK.labels)
    places = [_percentile(sentence) for sentence in examples.sentences]
    chosen = [i for i, place in enumerate(places) if place in _SPLITS[split]]
    return Examples(
        tuple(examples.sentences[i] for i in chosen), None, examples.labels[np.array(chosen)]
    )


def _percentile(sentence: str) -> int:
    letters = "".join(filter(str.isalnum, sentence.lower()))  # spelling variants stay together
    return int(hashlib.sha256(letters.encode("utf-8")).hexdigest(), 16) % 100
