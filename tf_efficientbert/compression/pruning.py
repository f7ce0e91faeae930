"""Magnitude pruning during training."""

import tensorflow as tf

from tf_efficientbert.compression.steps import PATTERN, Prune
from tf_efficientbert.compression.toolkit import toolkit
from tf_efficientbert.models.efficientbert import EfficientBert

# Zhu and Gupta 2017 (arXiv 1710.01878): masks change often and early, then the model recovers.
_UPDATES = 100
_PRUNED_BY = 2 / 3


def linear_maps(model) -> list:
    """Returns the kernels [inputs, outputs] of linear maps, without tables, biases, LayerNorms."""
    return [v for v in model.trainable_variables if v.name.startswith("kernel")]


def pruning_schedule(sparsity: float, total_steps: int):
    """Returns TFMOT's PolynomialDecay from 0 to `sparsity` within two thirds of the steps.

    Zhu and Gupta 2017 (arXiv 1710.01878), equation 1. The masks change some 100 times.
    """
    end = max(1, int(total_steps * _PRUNED_BY))
    every = max(1, end // _UPDATES)
    return toolkit().PolynomialDecay(0.0, sparsity, 0, end - end % every, frequency=every)


class Pruner:
    """Gradually sets small weights of an encoder's linear maps to zero with TFMOT's masks.

    Weights that are zero at the start stay zero, so an earlier pruning is kept. The head is not
    pruned, because it is small.

    Args:
        backbone: EfficientBert.
        prune: Prune, or None to only keep existing zeros.
        total_steps: int, number of training steps.
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
                # The pattern is complete from the first step: TFMOT has no schedule for it.
                pruning_schedule(0.5 if patterned else prune.amount, total_steps),
                block_size=(1, 1),
                block_pooling_type="AVG",
                sparsity_m_by_n=tuple(map(int, PATTERN.split(":"))) if patterned else None,
            )

    @property
    def variables(self) -> list[tf.Variable]:
        """The variables that a checkpoint must hold."""
        return [*self._held, *self.masks]

    def after_step(self, steps_taken) -> None:
        """Updates the masks according to the schedule, and applies them to the weights."""
        for kernel, held in zip(self._kernels, self._held, strict=True):
            kernel.assign(kernel * held)
        if self._pruning:
            self._step.assign(steps_taken)
            self._pruning.conditional_mask_update()
            self._pruning.weight_mask_op()
