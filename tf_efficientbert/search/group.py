"""Several networks trained side by side, each batch passing through the teacher once."""

import math
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tensorflow as tf

from tf_efficientbert.errors import UserError, first_line
from tf_efficientbert.search.learner import Learner
from tf_efficientbert.search.phases import Phase
from tf_efficientbert.training.loop import train
from tf_efficientbert.training.schedule import LinearWarmupDecay

__all__ = ["NO_MEMORY", "OUT_OF_MEMORY", "no_memory", "side_by_side", "train_group"]

# What a candidate too large for the machine makes TensorFlow or Python raise.
NO_MEMORY = "out of memory"
OUT_OF_MEMORY = (tf.errors.ResourceExhaustedError, MemoryError)


def no_memory(error: Exception) -> str:
    """The reason of a network for which there was no memory."""
    return f"{NO_MEMORY}: {first_line(error)}"


def side_by_side(learners: Mapping[int, Learner], function: Callable[[Learner], object]) -> dict:
    """{key: function(network)} of those that the machine has memory for; the others `fail`.

    Each in a thread: a core that one network leaves idle, while its graph is traced or a small
    operation runs, works for another. What a network learns depends on it alone.
    """

    def called(learner: Learner):
        try:
            return function(learner)
        except OUT_OF_MEMORY as error:
            learner.fail(no_memory(error))

    with ThreadPoolExecutor(min(len(learners), os.cpu_count())) as pool:
        results = dict(zip(learners, pool.map(called, learners.values()), strict=True))
    return {key: results[key] for key, learner in learners.items() if not learner.failure}


def train_group(
    *,
    learners: Mapping[int, Learner],
    phases: list[Phase],
    folder: Path,
    name: str,
    checkpoint_seconds: float,
    on_checkpoint: Callable[[], None] = lambda: None,
) -> list[dict]:
    """Trains all networks through all phases; goes on from the checkpoints in `folder`.

    A network whose loss is no longer finite, or that the machine has no memory for, says so in its
    `failure` and is left out from then on; what becomes of it changes nothing for the others. With
    none left the training ends.

    Args:
        learners: by a key of their own.
        name: what the progress bar says.
        on_checkpoint: called after each checkpoint.

    Returns: one record a step, {"step", "loss" (mean), "loss_KEY" of each network that is left,
        "seconds", what `Phase.evaluate` said}.

    Raises:
        UserError: there is no memory for the teacher.
    """
    total = sum(phase.steps for phase in phases)
    history: list[dict] = []
    for phase in phases:
        for learner in learners.values():
            learner.restart_optimizer()
        trackables = {
            f"{part}_{key}": value
            for key, learner in learners.items()
            for part, value in learner.trackables.items()
        }
        history += train(
            name=f"{name}: {phase.name}",
            step_fn=_GroupStep(phase, learners, len(history), total),
            batches=phase.batches,
            total_steps=phase.steps,
            folder=folder / phase.name,
            trackables=trackables,
            checkpoint_seconds=checkpoint_seconds,
            on_checkpoint=on_checkpoint,
            given_up=lambda: all(learner.failure for learner in learners.values()),
        )
    return history


class _GroupStep:
    """One step of every network that is left, after one pass of the teacher."""

    def __init__(self, phase: Phase, learners: Mapping[int, Learner], first: int, total: int):
        self._phase, self._learners = phase, learners
        self._first, self._total = first, total
        self._schedule = LinearWarmupDecay(phase.learning_rate, phase.steps)
        self._ended = time.monotonic()

    def __call__(self, batch: dict, step: int) -> dict[str, float]:
        left = {key: learner for key, learner in self._learners.items() if not learner.failure}
        losses = self._learn(left, batch, step)
        figures = {f"loss_{key}": loss for key, loss in losses.items()}
        if losses and self._phase.evaluate and self._ends_epoch(step):
            figures |= self._phase.evaluate({key: left[key] for key in losses})
        now = time.monotonic()
        seconds, self._ended = now - self._ended, now
        mean = sum(losses.values()) / len(losses) if losses else 0.0
        return {"loss": mean, **figures, "seconds": seconds}

    def _learn(self, left: Mapping[int, Learner], batch: dict, step: int) -> dict[int, float]:
        """The losses of those that got through the step."""
        batch = {name: tf.constant(array) for name, array in batch.items()}
        theirs = self._teach(batch)
        rate, scales = float(self._schedule(step)), self._phase.scales
        number = self._first + step
        losses = side_by_side(left, lambda each: each.learn(batch, theirs, number, rate, scales))
        for key, loss in losses.items():
            if not math.isfinite(loss):
                left[key].fail(
                    f"diverged: its loss was no finite number at step {number + 1} of {self._total}"
                )
        return {key: loss for key, loss in losses.items() if math.isfinite(loss)}

    def _teach(self, batch: dict) -> dict:
        try:
            return self._phase.teacher(batch)
        except OUT_OF_MEMORY as error:
            raise UserError(
                f"there is no memory for the teacher's pass over a batch of "
                f"{len(batch['token_ids'])}: give the stages a smaller batch_size"
            ) from error

    def _ends_epoch(self, step: int) -> bool:
        done = step + 1
        return done == self._phase.steps or not done % self._phase.batches.steps_per_epoch
