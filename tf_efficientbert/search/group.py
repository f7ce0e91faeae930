"""Several networks trained side by side, each batch passing through the teacher once."""

import dataclasses
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from tf_efficientbert.data.batching import MODEL_INPUTS
from tf_efficientbert.errors import first_line
from tf_efficientbert.search.learner import Learner, TeacherPass
from tf_efficientbert.training.loop import train
from tf_efficientbert.training.schedule import LinearWarmupDecay

__all__ = ["OUT_OF_MEMORY", "AllFailedError", "Phase", "train_group"]

_log = logging.getLogger(__name__)

# What a candidate too large for the machine makes TensorFlow or Python raise.
OUT_OF_MEMORY = (tf.errors.ResourceExhaustedError, MemoryError)


class AllFailedError(Exception):
    """No network of the group is left to train."""


@dataclasses.dataclass(frozen=True)
class Phase:
    """One training of all networks: on raw text, or on the task.

    Attributes:
        name: for progress and checkpoints.
        teacher: who teaches.
        batches: batches[k] is the batch of step k.
        epochs: passes over them; a fraction is allowed.
        learning_rate: peak of linear warm-up and decay.
        prediction_scale: 1 on the task, 0 on raw text; see `Objective.compare`.
        evaluate: called after each epoch with the networks left, {key: network}; its figures join
            the step's record.
    """

    name: str
    teacher: TeacherPass
    batches: object
    epochs: float
    learning_rate: float
    prediction_scale: float
    evaluate: Callable[[dict[int, Learner]], dict[str, float]] | None = None

    @property
    def steps(self) -> int:
        return max(1, round(self.epochs * self.batches.steps_per_epoch))


def train_group(
    *,
    learners: dict[int, Learner],
    phases: list[Phase],
    folder: Path,
    name: str,
    checkpoint_seconds: float,
    on_checkpoint: Callable[[], None] = lambda: None,
) -> tuple[list[dict], dict[int, str]]:
    """Trains all networks through all phases; goes on from the checkpoints in `folder`.

    A network whose loss is no longer finite, or that the machine has no memory for, is left out
    from then on; what becomes of it changes nothing for the others.

    Args:
        learners: by a key of their own.
        name: what the progress bar says.
        on_checkpoint: called after each checkpoint.

    Returns: (one record a step, {"step", "loss", "loss_KEY", ..., "seconds", what `evaluate` said};
        why networks failed, by key).

    Raises:
        AllFailedError: none is left; its argument are the reasons, by key.
    """
    reasons: dict[int, str] = {}
    total = sum(phase.steps for phase in phases)
    history, first = [], 0
    for phase in phases:
        for learner in learners.values():
            learner.restart_optimizer()
        trackables = {
            f"{part}_{key}": value
            for key, learner in learners.items()
            for part, value in learner.trackables.items()
        }
        step_fn = _GroupStep(phase, learners, reasons, first, total)
        history += train(
            name=f"{name}: {phase.name}",
            step_fn=step_fn,
            batches=phase.batches,
            total_steps=phase.steps,
            folder=folder / phase.name,
            trackables=trackables,
            checkpoint_seconds=checkpoint_seconds,
            on_checkpoint=on_checkpoint,
        )
        first += phase.steps
        _note_failures(learners, reasons, total)
        if not _alive(learners, reasons):
            raise AllFailedError(reasons)
    return history, reasons


def _alive(learners: dict[int, Learner], reasons: dict[int, str]) -> dict[int, Learner]:
    return {key: learner for key, learner in learners.items() if key not in reasons}


def _note_failures(learners: dict[int, Learner], reasons: dict[int, str], total: int) -> None:
    """Says why for networks whose failure came out of a checkpoint or a step."""
    for key, learner in learners.items():
        if learner.failed and key not in reasons:
            step = int(learner.failed_step) + 1
            reasons[key] = f"diverged: its loss was no finite number at step {step} of {total}"


class _GroupStep:
    """One step of every network that is left, after one pass of the teacher."""

    def __init__(self, phase: Phase, learners, reasons, first: int, total: int):
        self._phase, self._learners, self._reasons = phase, learners, reasons
        self._first, self._total = first, total
        self._schedule = LinearWarmupDecay(phase.learning_rate, phase.steps)
        self._ended = time.monotonic()

    def __call__(self, batch: dict, step: int) -> dict[str, float]:
        _note_failures(self._learners, self._reasons, self._total)
        batch = {name: tf.constant(array) for name, array in batch.items()}
        theirs = self._phase.teacher({name: batch[name] for name in MODEL_INPUTS})
        rate = float(self._schedule(step))
        losses = {}
        for key, learner in _alive(self._learners, self._reasons).items():
            scale = self._phase.prediction_scale
            try:
                loss = learner.learn(batch, theirs, self._first + step, rate, scale)
            except OUT_OF_MEMORY as error:
                self._reasons[key] = f"out of memory: {first_line(error)}"
                continue
            if math.isfinite(loss):
                losses[key] = loss
            else:
                learner.failed_step.assign(self._first + step)
        if not losses:
            _note_failures(self._learners, self._reasons, self._total)
            raise AllFailedError(self._reasons)
        figures = {f"loss_{key}": loss for key, loss in losses.items()}
        if self._phase.evaluate and self._ends_epoch(step):
            alive = {key: self._learners[key] for key in losses}
            figures |= self._phase.evaluate(alive)
        now = time.monotonic()
        seconds, self._ended = now - self._ended, now
        return {"loss": sum(losses.values()) / len(losses), **figures, "seconds": seconds}

    def _ends_epoch(self, step: int) -> bool:
        done = step + 1
        return done == self._phase.steps or not done % self._phase.batches.steps_per_epoch
