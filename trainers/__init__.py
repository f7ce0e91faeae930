"""Command-line jobs: `tf-efficientbert JOB --help`."""

import os

from tf_efficientbert.quiet_tensorflow import import_tensorflow

# NumPy reads it at import. Idle OpenBLAS threads make latencies jump.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# TensorFlow reads it when it starts. A small network's operations are too short to be split: with
# two cores, one on each takes less time than one after the other on both (docs/experiments.md).
if len(os.sched_getaffinity(0)) <= 2:
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
import_tensorflow()
