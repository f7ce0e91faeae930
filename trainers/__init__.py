"""Command-line jobs: `tf-efficientbert JOB --help`."""

import os

from tf_efficientbert.quiet_tensorflow import import_tensorflow

# NumPy reads it at import. Idle OpenBLAS threads make latencies jump.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# TensorFlow reads it at import. A small network's operations are too short to be split: with two
# cores, two of them at a time is 1.4 times as fast as one on both. See docs/experiments.md.
if (os.cpu_count() or 1) <= 2:
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
import_tensorflow()
