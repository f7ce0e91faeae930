"""The progress bar of one training, or of several that run side by side."""

import contextlib
import logging
import threading

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

__all__ = ["ProgressBar", "TrainingCancelled", "TrainingProgress"]


class TrainingCancelled(Exception):
    """A training ends early, as the user has interrupted it."""


class ProgressBar:
    """Counts the steps of its trainings together; to be used as a context manager.

    Args:
        name: label of the bar.
    """

    def __init__(self, name: str):
        self._name = name
        self._lock = threading.Lock()
        self._bar: tqdm | None = None
        self._losses: dict[str, float] = {}
        self._cancelled, self._advanced = False, False
        self._open = contextlib.ExitStack()

    def __enter__(self) -> "ProgressBar":
        logger = logging.getLogger("tf_efficientbert")
        self._open.enter_context(logging_redirect_tqdm([logger]))
        return self

    def __exit__(self, *error) -> None:
        self._open.close()

    def training(self, name: str = "") -> "TrainingProgress":
        """Returns the progress of one training; of several, each needs a name."""
        return TrainingProgress(self, name)

    def cancel(self) -> None:
        """Ends the trainings after their current step, without a checkpoint."""
        self._cancelled = True

    def begin(self, steps: int, done: int) -> None:
        """Adds `steps` to the total, of which `done` are done already.

        Raises:
            TrainingCancelled: after `cancel`.
        """
        self._check()
        with self._lock:
            if self._bar is None:
                bar = tqdm(total=steps, initial=done, desc=self._name, unit="step", mininterval=2.0)
                self._bar = self._open.enter_context(bar)
                return
            self._bar.total += steps
            self._bar.n += done
            if not self._bar.disable:
                self._bar.initial += done  # not counted in the speed
                self._bar.last_print_n += done

    def advance(self, name: str, loss: float) -> None:
        """Counts a step of the training `name`.

        Raises:
            TrainingCancelled: after `cancel`.
        """
        self._check()
        with self._lock:
            self._losses[name] = loss
            losses = ", ".join(f"{key} {value:.4g}".strip() for key, value in self._losses.items())
            self._bar.set_postfix_str(f"loss {losses}", refresh=False)
            self._bar.update()
            if not self._advanced:
                self._bar.unpause()  # the first step traces the graph: not for the estimate
            self._advanced = True

    def _check(self) -> None:
        if self._cancelled:
            raise TrainingCancelled


class TrainingProgress:
    """One training's share of a progress bar.

    Attributes:
        name: of the training among those beside it; "" if it is alone.
    """

    def __init__(self, bar: ProgressBar, name: str):
        self._bar, self.name = bar, name

    def begin(self, steps: int, done: int) -> None:
        """See `ProgressBar.begin`."""
        self._bar.begin(steps, done)

    def advance(self, loss: float) -> None:
        """See `ProgressBar.advance`."""
        self._bar.advance(self.name, loss)
