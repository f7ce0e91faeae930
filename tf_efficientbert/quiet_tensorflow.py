"""Imports TensorFlow without its messages, for command-line programs."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


def import_tensorflow() -> None:
    """Imports TensorFlow without the lines it writes to stderr, which no setting suppresses.

    If the import raises, shows these lines.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # for later messages
    if "tensorflow" not in sys.modules:
        with _stderr_held_back():
            import tensorflow  # noqa: F401


@contextlib.contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Drops what the block writes to stderr, also from C++, unless the block raises."""
    with contextlib.ExitStack() as stack:
        try:
            held = stack.enter_context(tempfile.TemporaryFile())
            stderr = os.dup(2)
        except OSError:  # no temporary folder, or no stderr: run the block without redirection
            yield
            return
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
