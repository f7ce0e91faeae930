"""Processes in which another module stands for TensorFlow, so that it greets as told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_RUN = """
import os, sys, tempfile
tempfile.tempdir = {tempdir!r}
from tf_efficientbert.quiet_tensorflow import import_tensorflow
import_tensorflow()
assert "tensorflow" in sys.modules
os.write(2, b"after it")
"""


@pytest.fixture
def stderr(tmp_path):
    """What is said on stderr where TensorFlow greets, and then does as told."""

    def stderr(then: str = "", tempdir: str | None = None) -> str:
        (tmp_path / "tensorflow.py").write_text(f'import os\nos.write(2, b"hello, ")\n{then}\n')
        path = f"{tmp_path}:{Path(__file__).parents[1]}"
        environment = {**os.environ, "PYTHONPATH": path}
        command = [sys.executable, "-c", _RUN.format(tempdir=tempdir)]
        return subprocess.run(command, capture_output=True, text=True, env=environment).stderr

    return stderr


def test_its_greetings_are_dropped_and_nothing_else(stderr):
    assert stderr() == "after it"


def test_what_it_said_before_it_failed_is_shown(stderr):
    said = stderr("raise ImportError('no such processor')")
    assert said.startswith("hello, Traceback") and "no such processor" in said


def test_where_no_file_can_be_had_it_is_loud(stderr):
    assert stderr(tempdir="/nowhere") == "hello, after it"
