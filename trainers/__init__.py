"""Command-line jobs: `tf-efficientbert JOB --help`."""

import os

from tf_efficientbert.quiet_tensorflow import import_tensorflow

# NumPy reads it at import. Idle OpenBLAS threads make latencies jump.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import_tensorflow()
