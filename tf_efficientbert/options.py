"""Dataclass fields that become command-line flags."""

import dataclasses

__all__ = ["option"]


def option(default, help_text: str):
    """A field of a job's options; the flag has the field's name, type and default."""
    return dataclasses.field(default=default, metadata={"help": help_text})
