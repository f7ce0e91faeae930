"""The environment of every test: set here, before anything imports TensorFlow."""

import os

import pytest

# On the CPU, in full float32: a GPU may multiply in TF32, past the tolerances of these tests.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_WHOLE_RUNS = "tests/integration"


def pytest_itemcollected(item):
    """With two processes (`-n 2 --dist loadgroup`) the tests that share fixtures stay together.

    These are a file's, and all that look at the same whole run.
    """
    path = item.path.relative_to(item.config.rootpath).as_posix()
    group = _WHOLE_RUNS if path.startswith(_WHOLE_RUNS) else path
    item.add_marker(pytest.mark.xdist_group(group))
