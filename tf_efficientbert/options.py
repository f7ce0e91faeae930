"""Dataclass fields that become command-line flags."""

import dataclasses
from collections.abc import Callable

__all__ = ["input_option", "option"]


def option(default, help_text: str):
    """A field of a job's options; the flag has the field's name, type and default."""
    return dataclasses.field(default=default, metadata={"help": help_text})


def input_option(default: str, help_text: str, part: Callable[[object], str] | None = None):
    """An `option` that names what a job reads; a job that goes on must find it unchanged.

    Args:
        part: (options) -> what the job reads of it, where that is not all.
    """
    metadata = {"help": help_text, "is_input": True, "part": part}
    return dataclasses.field(default=default, metadata=metadata)
