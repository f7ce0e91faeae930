"""What a teacher says of a batch: computed there and then, or recorded once for every example."""

import dataclasses
import logging
import math

import numpy as np
import tensorflow as tf

from tf_efficientbert.data.batching import MODEL_INPUTS, EncodedExamples
from tf_efficientbert.distillation.cached_outputs import CachedTeacherOutputs, cached_outputs
from tf_efficientbert.errors import UserError
from tf_efficientbert.options import option
from tf_efficientbert.tasks import Task

__all__ = ["PredictionsAlone", "TeacherPass", "TeachingOptions"]

_log = logging.getLogger(__name__)

_TOKENS = tf.TensorSpec([None, None], tf.int32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TeachingOptions:
    """What a job is told about its teacher's passes."""

    teacher_memory_gb: float = option(
        2.0,
        "keep what the teacher says of a set of training examples where that takes no more "
        "memory, instead of asking it again in every epoch; only where losses leave padding out "
        "and attention scores are not compared; 0 for never",
    )

    def __post_init__(self) -> None:
        if not (self.teacher_memory_gb >= 0 and math.isfinite(self.teacher_memory_gb)):
            raise UserError(f"--teacher_memory_gb={self.teacher_memory_gb}: expected 0 or more")


class TeacherPass:
    """A teacher's outputs on a batch, computed once for however many learn from them.

    Args:
        model: EfficientBert (the teacher before fine-tuning) or TaskModel, or what is called like
            them.
        with_attention: whether the attention scores are among the outputs.
        task: the task; a bare encoder answers it with zeros.
        with_hidden: whether the hidden states are.

    Attributes:
        says_hidden: the same.
    """

    def __init__(self, model, with_attention: bool, task: Task, with_hidden: bool = True):
        names = ["hidden_states"] * with_hidden + ["attention_scores"] * with_attention

        def outputs(inputs):
            given = model(inputs, training=False)
            kept = {name: given[name] for name in names}
            blank = task.blank_outputs(inputs["token_ids"])
            return {**kept, **{name: given.get(name, blank[name]) for name in blank}}

        self.says_hidden, self._with_attention = with_hidden, with_attention
        self._outputs = tf.function(
            outputs, input_signature=[dict.fromkeys(MODEL_INPUTS, _TOKENS)], autograph=False
        )

    def __call__(self, batch: dict) -> dict:
        """The outputs, as those of EfficientBert and TaskModel; recorded ones are taken as such."""
        recorded = cached_outputs(batch)
        return recorded or self._outputs({name: batch[name] for name in MODEL_INPUTS})

    @property
    def specs(self) -> dict:
        """The outputs' shapes and types."""
        outputs = self._outputs.get_concrete_function().structured_outputs
        return tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), outputs)

    def recorded(
        self, examples: EncodedExamples, epochs: float, real_tokens_only: bool, memory_gb: float
    ) -> EncodedExamples | CachedTeacherOutputs:
        """The examples, with the teacher's outputs where these are worth keeping.

        They are for more than one pass over them. At padding a teacher says what depends on how
        far a batch is padded, and attention scores take the square of the tokens: neither is kept.

        Args:
            epochs: how often the examples are trained on.
            real_tokens_only: whether losses of the hidden states leave padding out.
            memory_gb: the most memory, in 10^9 bytes.

        Raises:
            UserError: there is less memory than that.
        """
        comparable = real_tokens_only or not self.says_hidden
        if not (memory_gb and comparable and epochs > 1) or self._with_attention:
            return examples
        needed = self._bytes(examples)
        if needed > memory_gb * 1e9:
            _log.info(
                "the teacher is asked again in every epoch: what it says of %d examples takes "
                "%.1f GB, more than --teacher_memory_gb=%g",
                *(len(examples), needed / 1e9, memory_gb),
            )
            return examples
        try:
            return CachedTeacherOutputs.asked(examples, self._outputs)
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            raise UserError(
                f"there is no memory for what the teacher says of {len(examples):,} examples, "
                f"{needed / 1e9:.1f} GB: start anew with a lower --teacher_memory_gb"
            ) from error

    def _bytes(self, examples: EncodedExamples) -> int:
        states = self.specs.get("hidden_states", ())
        token = sum(state.shape[-1] * state.dtype.size for state in states)
        return int(np.sum(examples.lengths)) * token


class PredictionsAlone:
    """What stands in a teacher's place where batches hold all that is taught: predictions.

    Args:
        specs: of the outputs that the graph of a step takes; what no batch holds is 0.
    """

    says_hidden = False

    def __init__(self, specs: dict):
        self.specs = specs

    def __call__(self, batch: dict) -> dict:
        rows, tokens = batch["token_ids"].shape

        def blank(spec: tf.TensorSpec) -> tf.Tensor:
            _, *rest = spec.shape
            return tf.zeros([rows, *(tokens if n is None else n for n in rest)], spec.dtype)

        return {**tf.nest.map_structure(blank, self.specs), **cached_outputs(batch)}

    def recorded(self, examples, *_) -> EncodedExamples | CachedTeacherOutputs:
        """The examples: nobody is asked."""
        return examples
