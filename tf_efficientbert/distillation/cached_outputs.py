"""Examples that know what a teacher says of them."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tf_efficientbert.data.batching import MODEL_INPUTS, EncodedExamples, evaluation_batches

__all__ = ["CachedTeacherOutputs", "cached_outputs"]

_BATCH = 32
_STATES, _LOGITS = "teacher_hidden_states", "teacher_logits"


class CachedTeacherOutputs:
    """`EncodedExamples` whose batches hold a teacher's outputs, computed once for each example.

    What is computed follows from the examples alone, so that a run that is started again gets the
    same bits.

    Args:
        examples: EncodedExamples.
        logits: [examples, ...], where they are known already.

    Attributes:
        lengths: tokens of each example.
    """

    def __init__(self, examples: EncodedExamples, logits: np.ndarray | None = None):
        self._examples, self.lengths = examples, examples.lengths
        self._states, self._logits = None, logits

    @classmethod
    def asked(
        cls, examples: EncodedExamples, outputs: Callable[[dict], dict]
    ) -> "CachedTeacherOutputs":
        """Examples with what a teacher says of them, asked in batches.

        Args:
            outputs: model inputs -> {"hidden_states": list of [batch, tokens, width] (or none),
                "logits": [batch, ...]}.
        """
        taught = cls(examples)
        with tqdm(total=len(examples), desc="teacher's outputs", unit="example") as bar:
            for indices, batch in evaluation_batches(examples, _BATCH):
                said = outputs({name: tf.constant(batch[name]) for name in MODEL_INPUTS})
                taught._keep(indices, said["logits"].numpy(), said.get("hidden_states"))
                bar.update(len(indices))
        return taught

    def __len__(self) -> int:
        return len(self._examples)

    def take(self, indices: np.ndarray) -> "CachedTeacherOutputs":
        """The named examples alone, in that order; of logits that were known already."""
        if self._states is not None:
            raise ValueError("hidden states are kept end to end and cannot be taken apart")
        return CachedTeacherOutputs(self._examples.take(indices), self._logits[indices])

    def padded(self, indices: np.ndarray, tokens: int | None = None) -> dict[str, np.ndarray]:
        """As `EncodedExamples.padded`, with what `cached_outputs` reads; it is 0 at padding."""
        batch = {**self._examples.padded(indices, tokens), _LOGITS: self._logits[indices]}
        if self._states is None:
            return batch
        shape = (*batch["token_ids"].shape, *self._states.shape[1:])
        states = np.zeros(shape, self._states.dtype)
        for row, span in enumerate(map(self._span, indices)):
            states[row, : span.stop - span.start] = self._states[span]
        return {**batch, _STATES: states}

    def _keep(self, indices, logits: np.ndarray, hidden_states: list | None) -> None:
        """Real tokens' states are kept, end to end, [all tokens, layers + 1, width]."""
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
    """What was recorded of a batch's examples, as a teacher gives it; {} where nothing was."""
    if _LOGITS not in batch:
        return {}
    states = {"hidden_states": tf.unstack(batch[_STATES], axis=2)} if _STATES in batch else {}
    return {**states, "logits": batch[_LOGITS]}
