"""Sets the environment of all tests before TensorFlow is imported."""

import os

# Use the CPU: a GPU may multiply in TF32, which exceeds the tolerances of these tests.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# As in jobs, with whose results tests compare those of their own process; see trainers/__init__.py.
# Two workers whose operations were each split among all cores would also slow each other.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
