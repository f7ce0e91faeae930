"""Examples with cached teacher outputs."""

from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tf_efficientbert.data.batching import MODEL_INPUTS, EncodedExamples, evaluation_batches

__all__ = ["CachedTeacherOutputs", "cached_bytes", "cached_outputs"]

_BATCH = 32
_STATES, _LOGITS = "teacher_hidden_states", "teacher_logits"


def cached_bytes(tokens: float, states: Iterable[tuple[int, int]]) -> int:
    """Returns the memory that cached hidden states take.

    Args:
        tokens: real tokens of all examples.
        states: (width, bytes per value) of each hidden state of a token.
    """
    return int(tokens * sum(width * size for width, size in states))


class CachedTeacherOutputs:
    """`EncodedExamples` whose batches contain teacher outputs, computed once per example.

    The outputs depend only on the examples, so that a resumed run gets the same bits.

    Args:
        examples: EncodedExamples.
        logits: [examples, ...], if they are known already.

    Attributes:
        lengths: tokens of each example.
    """

    def __init__(self, examples: EncodedExamples, logits: np.ndarray | None = None):
        self._examples, self.lengths = examples, examples.lengths
        self._states, self._logits = None, logits

    @classmethod
    def compute(
        cls, examples: EncodedExamples, outputs: Callable[[dict], dict]
    ) -> "CachedTeacherOutputs":
        """Computes the teacher outputs of all examples in batches.

        Args:
            outputs: model inputs -> {"hidden_states": list of [batch, tokens, width] (optional),
                "logits": [batch, ...]}.
        """
        cached = cls(examples)
        with tqdm(total=len(examples), desc="teacher outputs", unit="example") as bar:
            for indices, batch in evaluation_batches(examples, _BATCH):
                computed = outputs({name: tf.constant(batch[name]) for name in MODEL_INPUTS})
                cached._keep(indices, computed["logits"].numpy(), computed.get("hidden_states"))
                bar.update(len(indices))
        return cached

    def __len__(self) -> int:
        return len(self._examples)

    def take(self, indices: np.ndarray) -> "CachedTeacherOutputs":
        """Returns these examples in this order, with their logits.

        Raises:
            ValueError: hidden states are cached.
        """
        if self._states is not None:
            raise ValueError("examples with cached hidden states cannot be selected")
        return CachedTeacherOutputs(self._examples.take(indices), self._logits[indices])

    def padded(self, indices: np.ndarray, tokens: int | None = None) -> dict[str, np.ndarray]:
        """As `EncodedExamples.padded`, plus the cached outputs; hidden states are 0 at padding."""
        batch = {**self._examples.padded(indices, tokens), _LOGITS: self._logits[indices]}
        if self._states is None:
            return batch
        shape = (*batch["token_ids"].shape, *self._states.shape[1:])
        states = np.zeros(shape, self._states.dtype)
        for row, span in enumerate(map(self._span, indices)):
            states[row, : span.stop - span.start] = self._states[span]
        return {**batch, _STATES: states}

    def _keep(self, indices, logits: np.ndarray, hidden_states: list | None) -> None:
        """Stores outputs; states of real tokens are concatenated, [tokens, layers + 1, width]."""
        if self._logits is None:
            self._logits = np.empty((len(self), *logits.shape[1:]), logits.dtype)
        self._logits[indices] = logits
        if hidden_states is None:
            return
        states = np.stack(hidden_states, axis=2)
        if self._states is None:
            self._states = np.empty((self._examples.offsets[-1], *states.shape[2:]), states.dtype)
        for row, span in enumerate(map(self._span, indices)):
            self._states[span] = states[row, : span.stop - span.start]

    def _span(self, index: int) -> slice:
        return slice(*self._examples.offsets[index : index + 2])


def cached_outputs(batch: dict) -> dict:
    """Returns the cached outputs in a batch, in a teacher's format; {} if there are none."""
    if _LOGITS not in batch:
        return {}
    states = {"hidden_states": tf.unstack(batch[_STATES], axis=2)} if _STATES in batch else {}
    return {**states, "logits": batch[_LOGITS]}
