"""Printing to a reader who may close the pipe."""

import os
import sys

__all__ = ["discard_output", "print_text"]


def print_text(text: str) -> None:
    """Prints `text`; a reader who has seen enough, as `head`, is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        discard_output()


def discard_output() -> None:
    """Sends what is still to be printed nowhere: Python flushes once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
