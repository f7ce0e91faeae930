"""The error for what a user can put right."""

__all__ = ["UserError", "first_line"]


class UserError(Exception):
    """Something the user gave is wrong: a file, a line of it, a flag or a value.

    The message names the thing, says what was expected and what to do about it. Jobs print it
    in one line, without a traceback, and exit with a non-zero status.
    """


def first_line(error: Exception) -> str:
    """What an error of a library says, in one line; its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]
