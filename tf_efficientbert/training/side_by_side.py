"""Runs trainings side by side, in threads of one process."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from tf_efficientbert.errors import first_line
from tf_efficientbert.training.progress import ProgressBar, TrainingCancelled, TrainingProgress

__all__ = ["train_side_by_side"]

_log = logging.getLogger(__name__)

Result = TypeVar("Result")


def train_side_by_side(
    name: str, trainings: Mapping[str, Callable[[TrainingProgress], Result]]
) -> dict[str, Result]:
    """Calls every training in a thread of its own and returns the results by name.

    A small network's step leaves cores idle, which then work for another network. The trainings
    must not share variables or a random generator. If one fails, the others go on to their end.
    If the user interrupts, all stop after their current step; a later call resumes them from their
    last checkpoints.

    Args:
        name: label of the progress bar.
        trainings: called with the progress that they report.

    Raises:
        Exception: of the first training in the mapping that failed; all failures are logged.
    """
    if not trainings:
        return {}
    with ProgressBar(name) as bar, ThreadPoolExecutor(len(trainings)) as pool:

        def run(key: str) -> Result:
            try:
                return trainings[key](bar.training(key))
            except TrainingCancelled:
                raise
            except Exception as error:
                _log.warning("%s: %s failed: %s", name, key, first_line(error))
                raise

        try:
            started = {key: pool.submit(run, key) for key in trainings}
            wait(started.values())
        except BaseException:  # a KeyboardInterrupt
            bar.cancel()
            _log.warning("%s: stopping after the current step", name)
            raise
    return {key: future.result() for key, future in started.items()}
