"""The environment of every test: set here, before anything imports TensorFlow."""

import os

# On the CPU, in full float32: a GPU may multiply in TF32, past the tolerances of these tests.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
