"""The examples that train candidates, and those held out to score them."""

import dataclasses
import functools
import hashlib
import itertools

import numpy as np

from tf_efficientbert.data.batching import EncodedExamples
from tf_efficientbert.data.unlabelled import with_unlabelled
from tf_efficientbert.distillation.cached_outputs import CachedTeacherOutputs
from tf_efficientbert.errors import UserError
from tf_efficientbert.tasks import LabelledTask

__all__ = ["HELD_OUT_BY", "SearchExamples"]

# What decides which examples are held out; a study notes it, as earlier versions drew them.
HELD_OUT_BY = "text"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchExamples:
    """The corpus and the task's training set, from which stages draw shares.

    The draws depend only on `seed`, so all candidates of a stage see the same examples. Which
    examples are held out depends on their token ids: examples of equal text are never on both
    sides, and the order of the training set does not matter.

    Attributes:
        text: the corpus.
        train: the task's training set, with labels for scoring.
        for_distillation: the training set that candidates learn from: `train`, or `train` with
            predictions from a file.
        task: the task of the labels.
        unlabelled: texts of the task's kind, in random order, that candidates also learn from, or
            None.
    """

    text: EncodedExamples
    train: EncodedExamples
    for_distillation: EncodedExamples | CachedTeacherOutputs
    task: LabelledTask
    seed: int
    unlabelled: EncodedExamples | None = None

    def held_out(self, share: float) -> EncodedExamples:
        """Returns the examples of the training set that score candidates."""
        return self.train.take(self._split(share)[0])

    def count_held_out(self, share: float) -> int:
        """Returns the number of examples in `held_out`."""
        return len(self._split(share)[0])

    def on_task(self, held_out: float, share: float) -> EncodedExamples | CachedTeacherOutputs:
        """Returns a share, at least one, of the training examples that are not held out.

        The same part of the unlabelled ones joins them.
        """
        rest = self._split(held_out)[1]
        labelled = self.for_distillation.take(rest[: max(1, round(share * len(rest)))])
        if self.unlabelled is None:
            return labelled
        count = round(len(labelled) / len(self.train) * len(self.unlabelled))
        return with_unlabelled(labelled, self.unlabelled.take(np.arange(count)))

    def on_text(self, share: float) -> EncodedExamples:
        """Returns a random share, at least one example, of the corpus."""
        text, count = self.text, max(1, round(share * len(self.text)))
        if count < len(text):
            text = text.take(np.random.default_rng(self.seed).permutation(len(text))[:count])
        # If the task's loss reads labels, the traced step needs them on text too.
        return dataclasses.replace(text, labels=self.task.blank_labels(count))

    def _split(self, held_out: float) -> tuple[np.ndarray, np.ndarray]:
        """Returns indices of the training set in random order: (held out, the others).

        Raises:
            UserError: all examples have the same text, so none can be held out.
        """
        order, ends = self._by_text
        if len(ends) < 2:
            raise UserError("a search needs two different training texts; all of them are equal")
        wanted = max(1, round(held_out * len(self.train)))
        count = ends[min(np.searchsorted(ends, wanted), len(ends) - 2)]  # not the last text
        return order[:count], order[count:]

    @functools.cached_property
    def _by_text(self) -> tuple[np.ndarray, np.ndarray]:
        """The training set's indices in the order of the texts' hashes, and each text's end."""
        train, groups = self.train, {}
        for index, (start, end) in enumerate(itertools.pairwise(train.offsets)):
            content = f"{self.seed}/".encode() + train.token_ids[start:end].tobytes()
            groups.setdefault(hashlib.sha256(content).digest(), []).append(index)
        by_hash = [groups[digest] for digest in sorted(groups)]
        return np.concatenate(by_hash), np.cumsum([len(indices) for indices in by_hash])
