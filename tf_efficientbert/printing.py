"""Printing to a pipe that may be closed early."""

import os
import sys

__all__ = ["discard_output", "print_text"]


def print_text(text: str) -> None:
    """Prints `text`; a closed pipe, as with `| head`, is not an error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        discard_output()


def discard_output() -> None:
    """Redirects stdout to /dev/null, because Python flushes stdout once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
