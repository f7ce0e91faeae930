"""Runs trainings side by side, in threads of one process."""

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

from tf_efficientbert.training.progress import ProgressBar, TrainingCancelled, TrainingProgress

__all__ = ["train_side_by_side"]

Result = TypeVar("Result")


def train_side_by_side(
    name: str, trainings: Mapping[str, Callable[[TrainingProgress], Result]]
) -> dict[str, Result]:
    """Calls every training in a thread of its own and returns the results by name.

    A small network's step leaves cores idle, which then work for another network. The trainings
    must not share variables or a random generator. If one raises an exception, or the user
    interrupts, the others stop after their current step; a later call resumes all from their last
    checkpoints.

    Args:
        name: label of the progress bar.
        trainings: called with the progress that they report.

    Raises:
        Exception: the first that a training raised.
    """
    with ProgressBar(name) as bar, ThreadPoolExecutor(max(len(trainings), 1)) as pool:
        started = {key: pool.submit(train, bar.training(key)) for key, train in trainings.items()}
        try:
            wait(started.values(), return_when=FIRST_EXCEPTION)
        finally:  # of a KeyboardInterrupt, too
            bar.cancel()
    failures = [future.exception() for future in started.values() if future.exception()]
    if failures:
        raise min(failures, key=lambda error: isinstance(error, TrainingCancelled))
    return {key: future.result() for key, future in started.items()}
