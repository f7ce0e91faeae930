"""Which examples a stage trains its candidates on, and which ones score them."""

import dataclasses

import numpy as np

from tf_efficientbert.data.batching import EncodedExamples
from tf_efficientbert.distillation.cached_outputs import CachedTeacherOutputs
from tf_efficientbert.tasks import LabelledTask

__all__ = ["SearchExamples"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchExamples:
    """The corpus and the task's training set, of which every stage takes its shares.

    The draws depend on `seed` alone: all candidates of a stage see the same examples.

    Attributes:
        text: the corpus.
        train: the task's training set, with labels for scoring.
        taught: the training set as candidates learn from it: `train`, or with predictions from a
            file.
        task: what the labels belong to.
    """

    text: EncodedExamples
    train: EncodedExamples
    taught: EncodedExamples | CachedTeacherOutputs
    task: LabelledTask
    seed: int

    def held_out(self, share: float) -> EncodedExamples:
        """The share of the training set that scores candidates."""
        return self.train.take(self._split(share)[0])

    def count_held_out(self, share: float) -> int:
        """Number of examples in `held_out`."""
        return len(self._split(share)[0])

    def on_task(self, held_out: float, share: float) -> EncodedExamples | CachedTeacherOutputs:
        """A share, at least one, of the training examples that are not held out."""
        rest = self._split(held_out)[1]
        return self.taught.take(rest[: max(1, round(share * len(rest)))])

    def on_text(self, share: float) -> EncodedExamples:
        """A random share, at least one sentence, of the corpus."""
        text, count = self.text, max(1, round(share * len(self.text)))
        if count < len(text):
            text = text.take(np.random.default_rng(self.seed).permutation(len(text))[:count])
        # The traced step takes labels where the task's loss reads them, on text too.
        return dataclasses.replace(text, labels=self.task.blank_labels(count))

    def _split(self, held_out: float) -> tuple[np.ndarray, np.ndarray]:
        """The training set's indices in random order: those held out, and the others."""
        order = np.random.default_rng(self.seed).permutation(len(self.train))
        count = min(max(1, round(held_out * len(order))), len(order) - 1)
        return order[:count], order[count:]
