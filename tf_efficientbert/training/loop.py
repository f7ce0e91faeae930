"""The outer loop of all trainings: steps, progress, checkpoints, resume."""

import contextlib
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

from tf_efficientbert.errors import UserError
from tf_efficientbert.training.checkpoints import Checkpoints
from tf_efficientbert.training.progress import ProgressBar, TrainingProgress

_log = logging.getLogger(__name__)


class DivergedError(UserError):
    """The loss is not finite."""


def train(
    *,
    name: str,
    step_fn: Callable[[dict, int], dict[str, float]],
    batches,
    total_steps: int,
    folder: str | Path,
    trackables: dict,
    evaluate: Callable[[], dict[str, float]] | None = None,
    evaluate_every: int = 0,
    checkpoint_seconds: float = 20.0,
    on_checkpoint: Callable[[], None] = lambda: None,
    should_stop: Callable[[], bool] = lambda: False,
    progress: TrainingProgress | None = None,
) -> list[dict]:
    """Runs steps 0 to `total_steps` - 1; resumes from the newest checkpoint.

    Args:
        name: label of the training.
        step_fn: (batch, step number) -> losses.
        batches: indexable; batches[k] is the batch of step k.
        folder: the folder of the checkpoints.
        trackables: {"model": ..., "optimizer": ...}, saved and restored.
        evaluate: called after every `evaluate_every` steps and at the end; its figures are added to
            the step's record.
        checkpoint_seconds: seconds between checkpoints; one more is saved at the end.
        on_checkpoint: called after each checkpoint.
        should_stop: checked before and after each step; if true, the training stops without a
            checkpoint. A later run can then resume from the last one.
        progress: of trainings side by side; None for a progress bar of its own.

    Returns: one record per step, {"step", "loss", ...}, from the first step on.

    Raises:
        DivergedError: the loss is not finite. The last checkpoint is kept.
        TrainingCancelled: see `ProgressBar.cancel`.
    """
    label = f"{progress.name}: {name}" if progress else name
    checkpoints = Checkpoints(folder, **trackables)
    step, history = checkpoints.restore()
    if step:
        _log.info("%s: resumes after step %d of %d", label, step, total_steps)
    saved = time.monotonic()
    with contextlib.ExitStack() as stack:
        if not progress:
            progress = stack.enter_context(ProgressBar(name)).training()
        progress.begin(total_steps, step)
        while step < total_steps and not should_stop():
            losses = step_fn(batches[step], step)
            for term, value in losses.items():
                if not math.isfinite(value):
                    raise DivergedError(
                        f"{label}: the {term} of step {step + 1} of {total_steps} is {value}; "
                        "try a lower learning rate"
                    )
            step += 1
            record = {"step": step, **losses}
            if evaluate and (step == total_steps or (evaluate_every and not step % evaluate_every)):
                record.update(evaluate())
                _log.info("%s | step: %d | %s", label, step, _figures(record))
            history.append(record)
            progress.advance(losses["loss"])
            due = step == total_steps or time.monotonic() - saved >= checkpoint_seconds
            if due and not should_stop():
                checkpoints.save(step, history)
                on_checkpoint()
                saved = time.monotonic()
    return history


def _figures(record: dict) -> str:
    return " | ".join(f"{key}: {value:.4g}" for key, value in record.items() if key != "step")
