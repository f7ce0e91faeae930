"""Batches of examples of similar length, determined by seed, epoch and batch number."""

import dataclasses
import functools

import numpy as np

MODEL_INPUTS = ("token_ids", "segment_ids", "padding_mask")
_POOL = 64  # number of batches within which examples are sorted by length
_LENGTH_STEP = 8  # padded lengths are multiples of it, to keep the number of shapes small


@dataclasses.dataclass(frozen=True)
class EncodedExamples:
    """Token ids of many examples, concatenated.

    Attributes:
        token_ids, segment_ids: int32 [all tokens].
        offsets: int64 [examples + 1], the start of each example, and the end of the last.
        labels: the targets [examples, ...], see `LabelledTask.targets`, or None.
        max_tokens: the most tokens an example may have, if known: a network needs no positions
            beyond it.
    """

    token_ids: np.ndarray
    segment_ids: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray | None = None
    max_tokens: int | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    def take(self, indices: np.ndarray) -> "EncodedExamples":
        """Returns the examples at `indices`, in that order."""
        lengths = self.lengths[indices]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        # Index of each kept token: its position in its example plus the example's old start.
        tokens = np.arange(offsets[-1]) + np.repeat(self.offsets[indices] - offsets[:-1], lengths)
        return EncodedExamples(
            self.token_ids[tokens],
            self.segment_ids[tokens],
            offsets,
            None if self.labels is None else self.labels[indices],
            self.max_tokens,
        )

    def padded(self, indices: np.ndarray, tokens: int | None = None) -> dict[str, np.ndarray]:
        """Returns the examples at `indices` as one batch, padded to `tokens`.

        By default `tokens` is the longest length rounded up to a multiple of 8, at most
        `max_tokens`.

        Returns: int32 [len(indices), tokens] arrays "token_ids", "segment_ids", "padding_mask",
        and "labels" [len(indices), ...] if there are labels.
        """
        longest = int(self.lengths[indices].max())
        rounded = -(-longest // _LENGTH_STEP) * _LENGTH_STEP
        tokens = tokens or min(rounded, self.max_tokens or rounded)
        shape = (len(indices), tokens)
        batch = {name: np.zeros(shape, np.int32) for name in MODEL_INPUTS}
        for row, index in enumerate(indices):
            span = slice(self.offsets[index], self.offsets[index + 1])
            length = span.stop - span.start
            batch["token_ids"][row, :length] = self.token_ids[span]
            batch["segment_ids"][row, :length] = self.segment_ids[span]
            batch["padding_mask"][row, :length] = 1
        if self.labels is not None:
            batch["labels"] = self.labels[indices]
        return batch


def joined(first: EncodedExamples, second: EncodedExamples) -> EncodedExamples:
    """Returns the examples of both, in order.

    Raises:
        ValueError: only one has labels, or the longest examples may differ in length.
    """
    has_labels = first.labels is not None
    if has_labels != (second.labels is not None):
        raise ValueError("only one of the sets has labels")
    if first.max_tokens != second.max_tokens:
        raise ValueError(f"max_tokens differ: {first.max_tokens} and {second.max_tokens}")
    return EncodedExamples(
        np.concatenate([first.token_ids, second.token_ids]),
        np.concatenate([first.segment_ids, second.segment_ids]),
        np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]]),
        np.concatenate([first.labels, second.labels]) if has_labels else None,
        first.max_tokens,
    )


def encode(tokenizer, texts, second_texts=None, labels=None, max_tokens: int = 128):
    """Tokenizes all texts into `EncodedExamples`."""
    token_ids, segment_ids = tokenizer.encode(
        list(texts), list(second_texts) if second_texts else None, max_tokens
    )
    return EncodedExamples(
        token_ids.flat_values.numpy(),
        segment_ids.flat_values.numpy(),
        token_ids.row_splits.numpy(),
        labels,
        max_tokens,
    )


class TrainingBatches:
    """An endless, indexable sequence of training batches.

    Batch k depends only on (examples, batch_size, seed, k), so a resumed run sees the same batches
    as an uninterrupted one. Each epoch contains each example once, in random order, in batches of
    similar length. The epoch's last batch is filled up with examples from the epoch's start.

    Args:
        examples: EncodedExamples or an object with the same interface, not empty.
        batch_size: int, the global batch.
        seed: int.
    """

    def __init__(self, examples: EncodedExamples, batch_size: int, seed: int):
        if not len(examples):
            raise ValueError("there are no examples to train on")
        self.examples = examples
        self.batch_size = batch_size
        self.seed = seed
        self.steps_per_epoch = -(-len(examples) // batch_size)
        self._epoch, self._plan = None, None

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._plan = epoch, self._plan_epoch(epoch)
        return self.examples.padded(self._plan[position])

    def _plan_epoch(self, epoch: int) -> list[np.ndarray]:
        random = np.random.default_rng((self.seed, epoch))
        order = random.permutation(len(self.examples))
        batches = np.resize(order, (self.steps_per_epoch, self.batch_size))
        lengths = self.examples.lengths
        plan = []
        for pool in np.array_split(batches, -(-self.steps_per_epoch // _POOL)):
            indices = pool.ravel()
            by_length = indices[np.argsort(lengths[indices], kind="stable")]
            plan += list(by_length.reshape(pool.shape))
        random.shuffle(plan)
        return plan


def evaluation_batches(examples: EncodedExamples, batch_size: int):
    """Yields (indices, batch), longest examples first, each example once."""
    order = np.argsort(-examples.lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        indices = order[start : start + batch_size]
        yield indices, examples.padded(indices)
