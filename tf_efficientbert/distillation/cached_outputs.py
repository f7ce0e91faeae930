"""Examples with cached teacher outputs."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tf_efficientbert.data.batching import MODEL_INPUTS, EncodedExamples, evaluation_batches

__all__ = [
    "CACHING_BATCH",
    "CachedTeacherOutputs",
    "cached_bytes",
    "cached_forms",
    "cached_outputs",
    "is_per_token",
]

CACHING_BATCH = 32  # the bits of cached outputs depend on it
_PREFIX = "teacher/"  # of outputs in a batch


def cached_bytes(tokens: float, widths: Iterable[tuple[int, int]]) -> int:
    """Returns the memory that cached outputs per token take.

    Args:
        tokens: real tokens of all examples.
        widths: (width, bytes per value) of each output of a token.
    """
    return int(tokens * sum(width * size for width, size in widths))


def is_per_token(spec: tf.TensorSpec) -> bool:
    """Whether an output is [batch, tokens, ...], not [batch, ...]."""
    return spec.shape.rank > 1 and spec.shape[1] is None


def cached_forms(
    examples: EncodedExamples, specs: Mapping[str, tf.TensorSpec]
) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Returns shape and dtype of each array in which outputs of these specs are cached."""
    forms = {}
    for name, spec in specs.items():
        per_token = is_per_token(spec)
        count = int(examples.offsets[-1]) if per_token else len(examples)
        shape = (count, *spec.shape[2 if per_token else 1 :])
        forms[name] = shape, np.dtype(spec.dtype.as_numpy_dtype)
    return forms


class CachedTeacherOutputs:
    """`EncodedExamples` whose batches contain teacher outputs, computed once per example.

    The outputs depend only on the examples, so that a resumed run gets the same bits.

    Args:
        examples: EncodedExamples.
        per_example: {name: [examples, ...]}, outputs that are known already.

    Attributes:
        lengths: tokens of each example.
    """

    def __init__(
        self, examples: EncodedExamples, per_example: Mapping[str, np.ndarray] | None = None
    ):
        self._examples, self.lengths = examples, examples.lengths
        self._per_example: dict[str, np.ndarray] = dict(per_example or {})
        self._per_token: dict[str, np.ndarray] = {}  # real tokens of all examples, end to end

    @classmethod
    def compute(
        cls,
        examples: EncodedExamples,
        outputs: Callable[[dict], dict],
        specs: Mapping[str, tf.TensorSpec],
    ) -> "CachedTeacherOutputs":
        """Computes the teacher outputs of all examples in batches.

        Args:
            outputs: model inputs -> {name: tensor}.
            specs: of the outputs: [batch, ...], or [batch, tokens, ...] with an unknown number of
                tokens, of which real ones are kept.
        """
        forms = cached_forms(examples, specs)
        empty = {name: np.empty(shape, dtype) for name, (shape, dtype) in forms.items()}
        cached = cls.of_arrays(examples, empty, specs)
        with tqdm(total=len(examples), desc="teacher outputs", unit="example") as bar:
            for indices, batch in evaluation_batches(examples, CACHING_BATCH):
                computed = outputs({name: tf.constant(batch[name]) for name in MODEL_INPUTS})
                cached._keep(indices, {name: computed[name].numpy() for name in specs})
                bar.update(len(indices))
        return cached

    @classmethod
    def of_arrays(
        cls,
        examples: EncodedExamples,
        arrays: Mapping[str, np.ndarray],
        specs: Mapping[str, tf.TensorSpec],
    ) -> "CachedTeacherOutputs":
        """Returns the examples with the `arrays` of an earlier computation."""
        cached = cls(examples)
        for name, spec in specs.items():
            kept = cached._per_token if is_per_token(spec) else cached._per_example
            kept[name] = arrays[name]
        return cached

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All outputs by name: [examples, ...], or [real tokens of all examples, ...]."""
        return {**self._per_example, **self._per_token}

    def __len__(self) -> int:
        return len(self._examples)

    def take(self, indices: np.ndarray) -> "CachedTeacherOutputs":
        """Returns these examples in this order, with their outputs.

        Raises:
            ValueError: outputs per token are cached.
        """
        if self._per_token:
            raise ValueError("examples with cached outputs per token cannot be selected")
        kept = {name: values[indices] for name, values in self._per_example.items()}
        return CachedTeacherOutputs(self._examples.take(indices), kept)

    def padded(self, indices: np.ndarray, tokens: int | None = None) -> dict[str, np.ndarray]:
        """As `EncodedExamples.padded`, plus the cached outputs, which are 0 at padding."""
        batch = self._examples.padded(indices, tokens)
        shape = batch["token_ids"].shape
        for name, values in self._per_example.items():
            batch[_PREFIX + name] = values[indices]
        for name, values in self._per_token.items():
            padded = np.zeros((*shape, *values.shape[1:]), values.dtype)
            for row, span in enumerate(map(self._span, indices)):
                padded[row, : span.stop - span.start] = values[span]
            batch[_PREFIX + name] = padded
        return batch

    def _keep(self, indices: np.ndarray, outputs: Mapping[str, np.ndarray]) -> None:
        for name, values in self._per_example.items():
            values[indices] = outputs[name]
        for name, values in self._per_token.items():
            for row, span in enumerate(map(self._span, indices)):
                values[span] = outputs[name][row, : span.stop - span.start]

    def _span(self, index: int) -> slice:
        return slice(*self._examples.offsets[index : index + 2])


def cached_outputs(batch: Mapping) -> dict:
    """Returns the cached outputs in a batch, {name: array or tensor}; {} if there are none."""
    return {
        name.removeprefix(_PREFIX): value
        for name, value in batch.items()
        if name.startswith(_PREFIX)
    }
