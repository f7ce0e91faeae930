"""Teacher outputs for a batch, computed in each step or cached once per example."""

import dataclasses
import logging
import math

import numpy as np
import tensorflow as tf

from tf_efficientbert.data.batching import MODEL_INPUTS, EncodedExamples
from tf_efficientbert.distillation.cached_outputs import (
    CachedTeacherOutputs,
    cached_bytes,
    cached_outputs,
)
from tf_efficientbert.errors import UserError
from tf_efficientbert.options import option
from tf_efficientbert.tasks import Task

__all__ = ["PredictionsAlone", "TeacherPass", "TeachingOptions"]

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

    def __post_init__(self) -> None:
        if not (self.teacher_memory_gb >= 0 and math.isfinite(self.teacher_memory_gb)):
            raise UserError(f"--teacher_memory_gb={self.teacher_memory_gb}: expected 0 or more")


class TeacherPass:
    """Computes a teacher's outputs for a batch, once for all students that learn from them.

    Args:
        model: EfficientBert (the teacher before fine-tuning), TaskModel or a compatible callable.
        with_attention: whether the outputs include attention scores.
        task: the task; for a bare encoder, its outputs are zeros.
        with_hidden: whether the outputs include hidden states.

    Attributes:
        has_hidden_states: same as `with_hidden`.
    """

    def __init__(self, model, with_attention: bool, task: Task, with_hidden: bool = True):
        names = ["hidden_states"] * with_hidden + ["attention_scores"] * with_attention

        def outputs(inputs):
            computed = model(inputs, training=False)
            kept = {name: computed[name] for name in names}
            blank = task.blank_outputs(inputs["token_ids"])
            return {**kept, **{name: computed.get(name, blank[name]) for name in blank}}

        self.has_hidden_states, self._with_attention = with_hidden, with_attention
        self._outputs = tf.function(
            outputs, input_signature=[dict.fromkeys(MODEL_INPUTS, _TOKENS)], autograph=False
        )

    def __call__(self, batch: dict) -> dict:
        """Returns outputs in the format of EfficientBert and TaskModel, cached or computed."""
        cached = cached_outputs(batch)
        return cached or self._outputs({name: batch[name] for name in MODEL_INPUTS})

    @property
    def specs(self) -> dict:
        """Shapes and dtypes of the outputs."""
        outputs = self._outputs.get_concrete_function().structured_outputs
        return tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), outputs)

    def cached(
        self, examples: EncodedExamples, epochs: float, real_tokens_only: bool, memory_gb: float
    ) -> EncodedExamples | CachedTeacherOutputs:
        """Returns the examples, with cached teacher outputs if caching them is useful and possible.

        It is useful for more than one epoch. It is not possible if the losses need the outputs at
        padding, which depend on how far a batch is padded, or attention scores, whose size is
        quadratic in the number of tokens.

        Args:
            epochs: number of passes over the examples.
            real_tokens_only: whether losses of the hidden states leave padding out.
            memory_gb: the most memory, in 10^9 bytes.

        Raises:
            UserError: the outputs do not fit into memory.
        """
        independent_of_padding = real_tokens_only or not self.has_hidden_states
        if not (memory_gb and independent_of_padding and epochs > 1) or self._with_attention:
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
            return CachedTeacherOutputs.compute(examples, self._outputs)
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            raise UserError(
                f"out of memory: the teacher outputs of {len(examples):,} examples take "
                f"{needed / 1e9:.1f} GB; use a lower --teacher_memory_gb in another --output_dir"
            ) from error

    def _bytes(self, examples: EncodedExamples) -> int:
        states = self.specs.get("hidden_states", ())
        sizes = ((state.shape[-1], state.dtype.size) for state in states)
        return cached_bytes(np.sum(examples.lengths), sizes)


class PredictionsAlone:
    """Replaces a `TeacherPass` if the batches contain predictions from a file.

    Args:
        specs: specs of the outputs that a step's graph takes; outputs missing in a batch are 0.
    """

    has_hidden_states = False

    def __init__(self, specs: dict):
        self.specs = specs

    def __call__(self, batch: dict) -> dict:
        rows, tokens = batch["token_ids"].shape

        def blank(spec: tf.TensorSpec) -> tf.Tensor:
            _, *rest = spec.shape
            return tf.zeros([rows, *(tokens if n is None else n for n in rest)], spec.dtype)

        return {**tf.nest.map_structure(blank, self.specs), **cached_outputs(batch)}

    def cached(self, examples, *_) -> EncodedExamples | CachedTeacherOutputs:
        """Returns the examples as they are."""
        return examples
