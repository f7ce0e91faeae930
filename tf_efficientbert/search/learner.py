"""A network in training with its optimizer and compiled graphs."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from tf_efficientbert.data.batching import MODEL_INPUTS
from tf_efficientbert.distillation.objective import Objective
from tf_efficientbert.models.task_model import TaskModel
from tf_efficientbert.search.weights import FlatWeights
from tf_efficientbert.tasks import Task
from tf_efficientbert.training.optimizer import apply_gradients, build_optimizer

__all__ = ["Learner"]

_TOKENS = tf.TensorSpec([None, None], tf.int32)
_CLIP_NORM = 1.0


class Learner:
    """A network in training, with its optimizer; each graph is traced once for all shapes.

    Args:
        model: TaskModel with inherited weights.
        objective: the distillation loss.
        seed: int, seed of the dropout masks.
        task: its labels are in the batches if the objective reads them.
        teacher_specs: {name: spec} of all teacher outputs that the objective reads.
        chooses: whether each batch's "choices", int32 [layers, 2], choose the cells (see
            `EfficientBert.call`).

    Attributes:
        failure: why its training ended, "" while it continues; saved in the checkpoint.
    """

    def __init__(
        self,
        model: TaskModel,
        objective: Objective,
        seed: int,
        task: Task,
        teacher_specs: dict,
        chooses: bool = False,
    ):
        self.model = model
        self.weights = FlatWeights(model)
        self._failure = tf.Variable("", trainable=False)
        self._objective = objective
        self._seed = seed
        self._optimizer = build_optimizer(self.weights.variables, 0.0, total_steps=None)
        inputs = dict.fromkeys((*MODEL_INPUTS, *(["choices"] if chooses else [])), _TOKENS)
        batch = dict(inputs)
        labels = task.blank_labels(0)
        if labels is not None:
            batch["labels"] = tf.TensorSpec([None, *labels.shape[1:]], labels.dtype)
        scales = tf.TensorSpec([len(objective.terms)], tf.float32)
        dropout_seed = tf.TensorSpec([2], tf.int32)
        self._used = tuple(batch)
        self._step = tf.function(
            self._train,
            input_signature=[batch, teacher_specs, dropout_seed, scales],
            autograph=False,
        )
        self._logits = tf.function(self._compute_logits, input_signature=[inputs], autograph=False)

    @property
    def trackables(self) -> dict:
        """Everything that a checkpoint of the training saves."""
        names = ("decayed", "undecayed")
        weights = dict(zip(names, self.weights.variables, strict=True))
        return {**weights, "optimizer": self._optimizer, "failure": self._failure}

    @property
    def failure(self) -> str:
        return self._failure.numpy().decode("utf-8")

    def fail(self, reason: str) -> None:
        """Ends its training; only the first reason is kept."""
        if not self.failure:
            self._failure.assign(reason)

    @property
    def traces(self) -> int:
        """Number of graphs traced so far."""
        functions: list[Callable] = [self._step, self._logits]
        return sum(function.experimental_get_tracing_count() for function in functions)

    def restart_optimizer(self) -> None:
        """Resets the step count and moments of an earlier training."""
        for variable in self._optimizer.variables:
            variable.assign(tf.zeros_like(variable.value))

    def learn(
        self,
        batch: dict,
        teacher_outputs: dict,
        step: int,
        learning_rate: float,
        scales: Sequence[float] | None = None,
    ) -> float:
        """Takes one optimizer step and returns the loss before it.

        Args:
            batch: tensors, see `data.batching`.
            teacher_outputs: the teacher's outputs on the batch, zeros for those it lacks.
            step: number of the step over all phases.
            scales: of the terms of the objective, see `Objective.scales`; None for 1 each.
        """
        self._optimizer.learning_rate = learning_rate
        used = {name: batch[name] for name in self._used}
        seed = tf.constant([self._seed, step])
        scales = tf.constant(scales or [1.0] * len(self._objective.terms))
        return float(self._step(used, teacher_outputs, seed, scales))

    def logits(self, inputs: dict):
        """Returns the current logits: [batch, classes], or [batch] for a regression."""
        return self._logits(inputs)

    def _train(self, batch, teacher_outputs, dropout_seed, scales):
        variables = self.weights.variables
        with tf.GradientTape() as tape:
            with self.weights.scope():
                outputs = self._call(batch, training=True, dropout_seed=dropout_seed)
            losses = self._objective.compare(teacher_outputs, outputs, batch, tf.unstack(scales))
            loss = losses["loss"]
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        gradients, _ = tf.clip_by_global_norm(gradients, _CLIP_NORM)
        apply_gradients(self._optimizer, gradients, variables)
        return loss

    def _compute_logits(self, inputs):
        with self.weights.scope():
            return self._call(inputs)["logits"]

    def _call(self, batch, **arguments):
        inputs = {name: batch[name] for name in MODEL_INPUTS}
        return self.model(inputs, choices=batch.get("choices"), **arguments)
