"""Command-line jobs: python -m trainers.JOB --help."""

import os
import tempfile

# Read when TensorFlow and NumPy are imported. NumPy's idle threads make latencies jump.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _import_tensorflow_quietly() -> None:
    """Imports TensorFlow without the lines it greets with on stderr, which no setting stops.

    Where the import fails, what it had to say is shown.
    """
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


_import_tensorflow_quietly()
