"""Scores candidates on held-out examples of the training set."""

import math

import numpy as np
import tensorflow as tf

from tf_efficientbert.data.batching import MODEL_INPUTS, EncodedExamples, evaluation_batches
from tf_efficientbert.search.learner import Learner
from tf_efficientbert.tasks import LabelledTask

__all__ = ["HeldOut"]

_SCORING_BATCH = 64


class HeldOut:
    """Held-out examples as batches of tensors."""

    def __init__(self, task: LabelledTask, examples: EncodedExamples):
        self._task, self._labels = task, examples.labels
        self._batches = [
            (indices, {name: tf.constant(batch[name]) for name in MODEL_INPUTS})
            for indices, batch in evaluation_batches(examples, _SCORING_BATCH)
        ]

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def metric(self) -> str:
        """The name of the score."""
        return self._task.metrics[0]

    def score(self, learner: Learner, choices=None) -> tuple[float, float]:
        """Returns (the task's first metric, mean loss) of a network's current logits.

        Both are NaN if a logit, the metric or the loss is not finite.

        Args:
            choices: int32 [layers, 2] or None, see `EfficientBert.call`.
        """
        parts = [np.zeros(0, np.float32)] * len(self)
        chosen = {} if choices is None else {"choices": choices}
        for indices, inputs in self._batches:
            batch_logits = learner.logits({**inputs, **chosen}).numpy()
            for index, row in zip(indices, batch_logits, strict=True):
                parts[index] = row
        logits = np.stack(parts)
        if not np.isfinite(logits).all():
            return math.nan, math.nan
        task = self._task.fitted(logits, self._labels)
        value = float(task.score(logits, self._labels)[self.metric])
        loss = self._task.held_out_loss(logits, self._labels)
        return (value, loss) if math.isfinite(value) and math.isfinite(loss) else (math.nan,) * 2
