"""Trains several networks side by side with one teacher pass per batch."""

import math
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tensorflow as tf

from tf_efficientbert.distillation.teacher_pass import blank_filled
from tf_efficientbert.errors import UserError, first_line
from tf_efficientbert.search.learner import Learner
from tf_efficientbert.search.phases import Phase
from tf_efficientbert.training.loop import train
from tf_efficientbert.training.schedule import LinearWarmupDecay

__all__ = [
    "OUT_OF_MEMORY",
    "OUT_OF_MEMORY_ERRORS",
    "out_of_memory_reason",
    "side_by_side",
    "train_group",
]

OUT_OF_MEMORY = "out of memory"
# TensorFlow or Python raises these for a candidate that does not fit into memory.
OUT_OF_MEMORY_ERRORS = (tf.errors.ResourceExhaustedError, MemoryError)


def out_of_memory_reason(error: Exception) -> str:
    """Returns the failure reason of a network that ran out of memory."""
    return f"{OUT_OF_MEMORY}: {first_line(error)}"


def side_by_side(learners: Mapping[int, Learner], function: Callable[[Learner], object]) -> dict:
    """Returns {key: function(network)}; networks that run out of memory `fail` and are left out.

    Each network has a thread, so that a core that is idle while one network traces its graph or
    runs a small operation works for another. The networks do not affect each other's results.
    """

    def call(learner: Learner):
        try:
            return function(learner)
        except OUT_OF_MEMORY_ERRORS as error:
            learner.fail(out_of_memory_reason(error))

    with ThreadPoolExecutor(min(len(learners), os.cpu_count())) as pool:
        results = dict(zip(learners, pool.map(call, learners.values()), strict=True))
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
    """Trains all networks in all phases; resumes from the checkpoints in `folder`.

    A network whose loss is not finite, or that runs out of memory, sets its `failure` and is left
    out from then on. This does not affect the others. If all have failed, the training ends.

    Args:
        learners: the networks by key.
        name: label of the progress bar.
        on_checkpoint: called after each checkpoint.

    Returns: one record per step, {"step", "loss" (mean), "loss_KEY" of each remaining network,
        "seconds", the figures of `Phase.evaluate`}.

    Raises:
        UserError: the teacher runs out of memory.
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
            should_stop=lambda: all(learner.failure for learner in learners.values()),
        )
    return history


class _GroupStep:
    """One teacher pass, then one step of every remaining network."""

    def __init__(self, phase: Phase, learners: Mapping[int, Learner], first: int, total: int):
        self._phase, self._learners = phase, learners
        self._first, self._total = first, total
        self._schedule = LinearWarmupDecay(phase.learning_rate, phase.steps)
        self._ended = time.monotonic()

    def __call__(self, batch: dict, step: int) -> dict[str, float]:
        remaining = {key: learner for key, learner in self._learners.items() if not learner.failure}
        losses = self._learn(remaining, batch, step)
        figures = {f"loss_{key}": loss for key, loss in losses.items()}
        if losses and self._phase.evaluate and self._ends_epoch(step):
            figures |= self._phase.evaluate({key: remaining[key] for key in losses})
        now = time.monotonic()
        seconds, self._ended = now - self._ended, now
        mean = sum(losses.values()) / len(losses) if losses else 0.0
        return {"loss": mean, **figures, "seconds": seconds}

    def _learn(self, remaining: Mapping[int, Learner], batch: dict, step: int) -> dict[int, float]:
        """Returns the finite losses of the step by key; the other networks fail."""
        batch = {name: tf.constant(array) for name, array in batch.items()}
        teacher_outputs = self._teach(batch)
        rate, scales = float(self._schedule(step)), self._phase.scales
        number = self._first + step
        losses = side_by_side(
            remaining, lambda each: each.learn(batch, teacher_outputs, number, rate, scales)
        )
        for key, loss in losses.items():
            if not math.isfinite(loss):
                remaining[key].fail(
                    f"diverged: its loss is not finite at step {number + 1} of {self._total}"
                )
        return {key: loss for key, loss in losses.items() if math.isfinite(loss)}

    def _teach(self, batch: dict) -> dict:
        try:
            outputs = self._phase.teacher(batch)
            return blank_filled(outputs, self._phase.teacher_specs, batch)
        except OUT_OF_MEMORY_ERRORS as error:
            raise UserError(
                f"the teacher ran out of memory on a batch of {len(batch['token_ids'])} examples; "
                "use --stages with a smaller batch_size"
            ) from error

    def _ends_epoch(self, step: int) -> bool:
        done = step + 1
        return done == self._phase.steps or not done % self._phase.batches.steps_per_epoch
