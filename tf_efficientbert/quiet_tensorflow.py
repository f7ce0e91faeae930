"""TensorFlow for command lines, whose stderr is for what they themselves have to say."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


def import_tensorflow() -> None:
    """Imports TensorFlow without the lines it greets with on stderr, which no setting stops.

    Where the import raises, what it had to say is shown.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what it would say later
    if "tensorflow" not in sys.modules:
        with _stderr_held_back():
            import tensorflow  # noqa: F401


@contextlib.contextmanager
def _stderr_held_back() -> Iterator[None]:
    """What is written to stderr, by C++ too, is dropped unless the block raises."""
    with contextlib.ExitStack() as stack:
        try:
            held = stack.enter_context(tempfile.TemporaryFile())
            stderr = os.dup(2)
        except OSError:  # nowhere to put a file, or no stderr: better loud than not at all
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
