"""Magnitude pruning of a student that trains."""

import tensorflow as tf

from tf_efficientbert.compression.steps import PATTERN, Prune
from tf_efficientbert.compression.toolkit import toolkit
from tf_efficientbert.models.efficientbert import EfficientBert

# Zhu and Gupta 2017 (arXiv 1710.01878): masks that change often and early, then time to recover.
_UPDATES = 100
_PRUNED_BY = 2 / 3


def linear_maps(model) -> list:
    """The kernels [inputs, outputs] of a model's linear maps; no table, bias or LayerNorm."""
    return [v for v in model.trainable_variables if v.name.startswith("kernel")]


def pruning_schedule(sparsity: float, total_steps: int):
    """TFMOT's PolynomialDecay from 0 to `sparsity`, which it reaches after two thirds of the steps.

    Zhu and Gupta 2017 (arXiv 1710.01878), equation 1. Some 100 steps on the way change masks.
    """
    end = max(1, int(total_steps * _PRUNED_BY))
    every = max(1, end // _UPDATES)
    return toolkit().PolynomialDecay(0.0, sparsity, 0, end - end % every, frequency=every)


class Pruner:
    """Sets small weights of an encoder's linear maps to zero, step by step, by TFMOT's masks.

    A weight that is zero already stays so: what an earlier training has pruned. The head is left
    alone, it is small.

    Args:
        backbone: EfficientBert.
        prune: Prune, or None to keep the zeros that are there and make no new ones.
        total_steps: int, how long the training is.
    """

    def __init__(self, backbone: EfficientBert, prune: Prune | None, total_steps: int):
        self._kernels = [kernel.value for kernel in linear_maps(backbone)]
        self._held = [
            tf.Variable(tf.cast(kernel != 0, kernel.dtype), trainable=False)
            for kernel in self._kernels
        ]
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.masks = [tf.Variable(tf.ones_like(held), trainable=False) for held in self._held]
        self._pruning = None
        if prune:
            patterned = prune.amount == PATTERN
            thresholds = [tf.Variable(0.0, trainable=False) for _ in self.masks]
            self._pruning = toolkit().Pruning(
                lambda: self._step,
                list(zip(self._kernels, self.masks, thresholds, strict=True)),
                # The pattern is whole from the first step on: TFMOT gives it no schedule.
                pruning_schedule(0.5 if patterned else prune.amount, total_steps),
                block_size=(1, 1),
                block_pooling_type="AVG",
                sparsity_m_by_n=tuple(map(int, PATTERN.split(":"))) if patterned else None,
            )

    @property
    def variables(self) -> list[tf.Variable]:
        """What a checkpoint holds of it."""
        return [*self._held, *self.masks]

    def after_step(self, steps_taken) -> None:
        """Renews the masks where the schedule says so, and applies them to the weights."""
        for kernel, held in zip(self._kernels, self._held, strict=True):
            kernel.assign(kernel * held)
        if self._pruning:
            self._step.assign(steps_taken)
            self._pruning.conditional_mask_update()
            self._pruning.weight_mask_op()
