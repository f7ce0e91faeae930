"""The error for invalid input from the user."""

__all__ = ["UserError", "first_line"]


class UserError(Exception):
    """A flag or file is invalid.

    The message names the flag, file, line or value, what was expected and what to do. Jobs print
    it without a traceback and exit with a non-zero status.
    """


def first_line(error: Exception) -> str:
    """Returns the first line of an error's message, or its class name if the message is empty."""
    return (str(error).splitlines() or [type(error).__name__])[0]
