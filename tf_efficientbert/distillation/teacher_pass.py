"""Teacher outputs for a batch, computed in each step or cached once per example."""

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tf_efficientbert.data.batching import MODEL_INPUTS, EncodedExamples
from tf_efficientbert.distillation.cached_outputs import (
    CACHING_BATCH,
    CachedTeacherOutputs,
    cached_bytes,
    cached_forms,
    cached_outputs,
    is_per_token,
)
from tf_efficientbert.distillation.output_store import OutputStore, output_key
from tf_efficientbert.distillation.outputs import named_outputs
from tf_efficientbert.errors import UserError
from tf_efficientbert.options import option
from tf_efficientbert.tasks import LabelledTask

__all__ = ["PredictionsAlone", "TeacherPass", "TeachingOptions", "blank_filled"]

_log = logging.getLogger(__name__)

_TOKENS = tf.TensorSpec([None, None], tf.int32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TeachingOptions:
    """Options for the passes of a teacher."""

    teacher_memory_gb: float = option(
        2.0,
        "most GB for cached teacher outputs of a training set; they are cached only if losses "
        "leave padding out and attention scores are not compared; 0: recompute them in each epoch",
    )
    teacher_cache: str = option(
        "",
        "folder that keeps cached teacher outputs for other jobs and later runs; empty: none",
    )
    teacher_cache_gb: float = option(10.0, "most GB in that folder; the oldest are deleted")

    @property
    def output_store(self) -> OutputStore | None:
        """Where teacher outputs are kept on disk."""
        return (
            OutputStore(self.teacher_cache, self.teacher_cache_gb) if self.teacher_cache else None
        )

    def __post_init__(self) -> None:
        if not (self.teacher_cache_gb > 0 and math.isfinite(self.teacher_cache_gb)):
            raise UserError(f"--teacher_cache_gb={self.teacher_cache_gb}: expected above 0")
        if not (self.teacher_memory_gb >= 0 and math.isfinite(self.teacher_memory_gb)):
            raise UserError(f"--teacher_memory_gb={self.teacher_memory_gb}: expected 0 or more")


class TeacherPass:
    """Computes a teacher's outputs for a batch, once for all students that learn from them.

    Args:
        model: EfficientBert (the teacher before fine-tuning), TaskModel or a compatible callable.
        reads: names of the outputs, see `outputs`.
        networks: those that the outputs depend on, if `model` is not a network itself.
    """

    def __init__(self, model, reads: Sequence[str], networks: Sequence | None = None):
        self._model, self.reads = model, tuple(reads)
        self._networks = (model,) if networks is None else networks
        self._computed = tf.function(
            lambda inputs: self._compute(inputs, self.reads),
            input_signature=[dict.fromkeys(MODEL_INPUTS, _TOKENS)],
            autograph=False,
        )

    def __call__(self, batch: Mapping) -> dict:
        """Returns {name: tensor}, cached in the batch or computed."""
        return cached_outputs(batch) or self._computed({k: batch[k] for k in MODEL_INPUTS})

    def in_graph(self, batch: Mapping) -> dict:
        """As a call, but as a part of the caller's graph: each replica needs its own.

        Only outputs that are not in the batch are computed.
        """
        cached = cached_outputs(batch)
        missing = [name for name in self.reads if name not in cached]
        return {**cached, **self._compute({k: batch[k] for k in MODEL_INPUTS}, missing)}

    @property
    def specs(self) -> dict[str, tf.TensorSpec]:
        """Shapes and dtypes of the outputs by name."""
        outputs = self._computed.get_concrete_function().structured_outputs
        return {name: tf.TensorSpec(t.shape, t.dtype) for name, t in outputs.items()}

    def cached(
        self,
        examples: EncodedExamples,
        epochs: float,
        ignores_padding: bool,
        memory_gb: float,
        store: OutputStore | None = None,
    ) -> EncodedExamples | CachedTeacherOutputs:
        """Returns the examples, with cached teacher outputs if caching them is useful and possible.

        It is useful for more than one epoch. It is not possible if the losses need the outputs at
        padding, which depend on how far a batch is padded, or attention scores, whose size is
        quadratic in the number of tokens.

        Args:
            epochs: number of passes over the examples.
            ignores_padding: whether the losses leave padding out, see `Objective`.
            memory_gb: the most memory, in 10^9 bytes.
            store: keeps the outputs on disk.

        Raises:
            UserError: the outputs do not fit into memory.
        """
        if not (self.reads and memory_gb and ignores_padding and epochs > 1):
            return examples
        unknown_sizes = [spec.shape[1:].as_list().count(None) for spec in self.specs.values()]
        if max(unknown_sizes) > 1:  # tokens x tokens
            return examples
        needed = self._bytes(examples)
        if needed > memory_gb * 1e9:
            _log.info(
                "teacher outputs are recomputed in each epoch: for %d examples they take %.1f GB, "
                "more than --teacher_memory_gb=%g",
                *(len(examples), needed / 1e9, memory_gb),
            )
            return examples
        try:
            return self._stored(examples, store) if store else self._cache(examples)
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            raise UserError(
                f"out of memory: the teacher outputs of {len(examples):,} examples take "
                f"{needed / 1e9:.1f} GB; use a lower --teacher_memory_gb in another --output_dir"
            ) from error

    def _cache(self, examples: EncodedExamples) -> CachedTeacherOutputs:
        return CachedTeacherOutputs.compute(examples, self._computed, self.specs)

    def _stored(self, examples: EncodedExamples, store: OutputStore) -> CachedTeacherOutputs:
        key = output_key(self._networks, self.reads, examples, CACHING_BATCH)
        forms = cached_forms(examples, self.specs)
        arrays = store.load(key, forms)
        if not arrays:
            computed = self._cache(examples).arrays
            store.save(key, computed)
            # The copy on disk, if there is one, is shared with other students; this one is not.
            arrays = store.load(key, forms) or computed
        return CachedTeacherOutputs.of_arrays(examples, arrays, self.specs)

    def _compute(self, inputs: Mapping, names: Sequence[str]) -> dict:
        return named_outputs(self._model(inputs, training=False), names) if names else {}

    def _bytes(self, examples: EncodedExamples) -> int:
        sizes = (
            (math.prod(spec.shape[2:]), spec.dtype.size)
            for spec in self.specs.values()
            if is_per_token(spec)
        )
        return cached_bytes(np.sum(examples.lengths), sizes)


class PredictionsAlone:
    """Replaces a `TeacherPass` if the batches contain predictions from a file.

    Attributes:
        reads, specs: see `TeacherPass`.
    """

    def __init__(self, task: LabelledTask):
        self.reads = task.distilled_outputs
        blank = task.blank_outputs(np.zeros((1, 1), np.int32))
        self.specs = {
            name: tf.TensorSpec([None, *blank[name].shape[1:]], blank[name].dtype)
            for name in self.reads
        }

    def __call__(self, batch: Mapping) -> dict:
        """Returns the predictions in the batch; none for a regression, whose labels they are."""
        return cached_outputs(batch)

    in_graph = __call__

    def cached(self, examples, *_) -> EncodedExamples | CachedTeacherOutputs:
        """Returns the examples as they are."""
        return examples


def blank_filled(outputs: Mapping, specs: Mapping[str, tf.TensorSpec], batch: Mapping) -> dict:
    """Returns the outputs with zeros for those that are missing, so that one graph takes all.

    Args:
        specs: of all outputs.
        batch: its "token_ids" [batch, tokens] give the sizes that the specs leave open.
    """
    rows, tokens = batch["token_ids"].shape

    def blank(spec: tf.TensorSpec) -> tf.Tensor:
        _, *rest = spec.shape
        return tf.zeros([rows, *(tokens if n is None else n for n in rest)], spec.dtype)

    return {name: outputs[name] if name in outputs else blank(spec) for name, spec in specs.items()}
