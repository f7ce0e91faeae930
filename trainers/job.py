"""Shared by all jobs: parses flags, shows the log, calls the library once, prints the result."""

import logging
from collections.abc import Callable

from absl import logging as absl_logging

from tf_efficientbert.command import run_command


def run_job(options_class: type, library_call: Callable, report: Callable[[object], None]) -> None:
    """Parses flags into `options_class`, passes it to `library_call`, then calls `report`."""

    def job(options: object) -> None:
        _show_log()
        report(library_call(options))

    run_command(
        options_class, job, "interrupted; run the same command to resume from the last checkpoint"
    )


def print_figures(result: dict) -> None:
    """Prints a line for each figure."""
    for name, value in result.items():
        print(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")


def _show_log() -> None:
    """Shows the project's INFO messages, and only errors of absl."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("tf_efficientbert")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    absl_logging.set_verbosity(absl_logging.ERROR)
