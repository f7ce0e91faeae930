"""Sets the environment of all tests before TensorFlow is imported."""

import os

# Use the CPU: a GPU may multiply in TF32, which exceeds the tolerances of these tests.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
