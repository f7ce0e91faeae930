"""TensorFlow for command lines, whose stderr is for what they themselves have to say."""

import os
import tempfile


def import_tensorflow() -> None:
    """Imports TensorFlow without the lines it greets with on stderr, which no setting stops.

    Where the import fails, what it had to say is shown.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what it would say later
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as greetings:
        os.dup2(greetings.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        except BaseException:
            greetings.seek(0)
            os.write(stderr, greetings.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
