"""The outer loop of all trainings: steps, progress, checkpoints, resume."""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from tf_efficientbert.errors import UserError
from tf_efficientbert.training.checkpoints import Checkpoints

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
) -> list[dict]:
    """Runs steps 0 to `total_steps` - 1; resumes from the newest checkpoint.

    Args:
        name: label of the progress bar.
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

    Returns: one record per step, {"step", "loss", ...}, from the first step on.

    Raises:
        DivergedError: the loss is not finite. The last checkpoint is kept.
    """
    checkpoints = Checkpoints(folder, **trackables)
    step, history = checkpoints.restore()
    if step:
        _log.info("%s: resumes after step %d of %d", name, step, total_steps)
    first, saved = step, time.monotonic()
    with (
        logging_redirect_tqdm([logging.getLogger("tf_efficientbert")]),
        tqdm(total=total_steps, initial=step, desc=name, unit="step", mininterval=2.0) as bar,
    ):
        while step < total_steps and not should_stop():
            losses = step_fn(batches[step], step)
            for term, value in losses.items():
                if not math.isfinite(value):
                    raise DivergedError(
                        f"{name}: the {term} of step {step + 1} of {total_steps} is {value}; try a "
                        "lower learning rate"
                    )
            step += 1
            record = {"step": step, **losses}
            if evaluate and (step == total_steps or (evaluate_every and not step % evaluate_every)):
                record.update(evaluate())
                _log.info("%s | step: %d | %s", name, step, _figures(record))
            history.append(record)
            bar.set_postfix_str(f"loss {losses['loss']:.4g}", refresh=False)
            bar.update()
            if step == first + 1:
                bar.unpause()  # the first step traces the graph: leave it out of the estimate
            due = step == total_steps or time.monotonic() - saved >= checkpoint_seconds
            if due and not should_stop():
                checkpoints.save(step, history)
                on_checkpoint()
                saved = time.monotonic()
    return history


def _figures(record: dict) -> str:
    return " | ".join(f"{key}: {value:.4g}" for key, value in record.items() if key != "step")
