"""Command-line jobs: python -m trainers.JOB --help."""

import os

from tf_efficientbert.quiet_tensorflow import import_tensorflow

# Read when NumPy is imported: its idle threads make latencies jump.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import_tensorflow()
