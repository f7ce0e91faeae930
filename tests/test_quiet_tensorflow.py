"""Imports a fake TensorFlow, which prints to stderr, in subprocesses."""

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
    """stderr(then): imports a TensorFlow that prints a greeting and runs `then`; returns stderr."""

    def stderr(then: str = "", tempdir: str | None = None) -> str:
        (tmp_path / "tensorflow.py").write_text(f'import os\nos.write(2, b"hello, ")\n{then}\n')
        path = f"{tmp_path}:{Path(__file__).parents[1]}"
        environment = {**os.environ, "PYTHONPATH": path}
        command = [sys.executable, "-c", _RUN.format(tempdir=tempdir)]
        return subprocess.run(command, capture_output=True, text=True, env=environment).stderr

    return stderr


def test_only_output_during_the_import_is_dropped(stderr):
    assert stderr() == "after it"


def test_output_of_a_failed_import_is_shown(stderr):
    output = stderr("raise ImportError('no such processor')")
    assert output.startswith("hello, Traceback") and "no such processor" in output


def test_without_a_temporary_file_output_is_not_dropped(stderr):
    assert stderr(tempdir="/nowhere") == "hello, after it"
