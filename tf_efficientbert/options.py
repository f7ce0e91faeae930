"""Dataclass fields that become command-line flags."""

import dataclasses
from collections.abc import Callable

__all__ = ["input_option", "option"]


def option(default, help_text: str):
    """Returns a field of a job's options; the flag has the field's name, type and default."""
    return dataclasses.field(default=default, metadata={"help": help_text})


def input_option(default: str, help_text: str, part: Callable[[object], str] | None = None):
    """Returns an `option` that names an input; a resumed job requires the input to be unchanged.

    Args:
        part: (options) -> the part of the input that the job reads, if not all of it.
    """
    metadata = {"help": help_text, "is_input": True, "part": part}
    return dataclasses.field(default=default, metadata=metadata)
