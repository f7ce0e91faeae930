"""The outer loop of every training: steps, progress, checkpoints, resume."""

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
    """The loss is no longer a finite number."""


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
    given_up: Callable[[], bool] = lambda: False,
) -> list[dict]:
    """Runs steps 0 to `total_steps` - 1, going on from the newest checkpoint.

    Args:
        name: what the progress bar says.
        step_fn: (batch, step number) -> losses.
        batches: indexable; batches[k] is the batch of step k.
        folder: where the checkpoints are.
        trackables: {"model": ..., "optimizer": ...}, saved and restored.
        evaluate: called after every `evaluate_every` steps and at the end; its figures join the
            step's record.
        checkpoint_seconds: the time between two checkpoints; one more is saved at the end.
        on_checkpoint: called after each of them.
        given_up: asked after each step whether to take no more and save none of this; the last
            checkpoint stands, to go on from where the reason was a passing one.

    Returns: one record a step, {"step", "loss", ...}, of all steps since the first.

    Raises:
        DivergedError: the loss is not finite. The last checkpoint stands.
    """
    checkpoints = Checkpoints(folder, **trackables)
    step, history = checkpoints.restore()
    if step:
        _log.info("%s: going on after step %d of %d", name, step, total_steps)
    first, saved = step, time.monotonic()
    with (
        logging_redirect_tqdm([logging.getLogger("tf_efficientbert")]),
        tqdm(total=total_steps, initial=step, desc=name, unit="step", mininterval=2.0) as bar,
    ):
        while step < total_steps and not given_up():
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
            if due and not given_up():
                checkpoints.save(step, history)
                on_checkpoint()
                saved = time.monotonic()
    return history


def _figures(record: dict) -> str:
    return " | ".join(f"{key}: {value:.4g}" for key, value in record.items() if key != "step")
