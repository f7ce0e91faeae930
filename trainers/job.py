"""What all jobs share: a command that calls the library once, shows its log, reports its result."""

import logging
from collections.abc import Callable

from absl import logging as absl_logging

from tf_efficientbert.command import run_command


def run_job(options_class: type, library_call: Callable, report: Callable[[dict], None]) -> None:
    """Turns flags into `options_class`, calls the library with it, reports what it returns."""

    def job(options: object) -> None:
        _show_log()
        report(library_call(options))

    run_command(
        options_class, job, "interrupted; the same command goes on from the last checkpoint"
    )


def print_figures(result: dict) -> None:
    """One line a figure."""
    for name, value in result.items():
        print(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")


def _show_log() -> None:
    """Our own messages; of absl's, errors."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("tf_efficientbert")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    absl_logging.set_verbosity(absl_logging.ERROR)
