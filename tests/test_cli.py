"""The command `tf-efficientbert`, run in subprocesses."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def command():
    def command(*arguments):
        call = [sys.executable, "-m", "tf_efficientbert.cli", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
        return subprocess.run(call, capture_output=True, text=True, timeout=120, env=environment)

    return command


def test_every_job_is_listed_with_a_summary(command):
    listed = command()
    assert (listed.returncode, listed.stderr) == (0, "")
    lines = [line.split(None, 1) for line in listed.stdout.partition("Jobs:\n")[2].splitlines()]
    names = {name for name, _ in lines}
    jobs = {path.stem for path in (_ROOT / "trainers").glob("*.py")} - {"__init__", "job"}
    assert names == jobs | {"serve", "ask", "load_test", "web_page"}
    assert all(len(about) > 20 for _, about in lines)
    assert command("--help").stdout == listed.stdout


def test_a_job_runs_like_its_module(command):
    done = command("predict", "--text=a")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: --model is missing: name the folder of a saved model\n"
    assert command("ask", "--help").stdout.startswith("Asks a server")


def test_the_error_for_an_unknown_job_lists_the_known_ones(command):
    done = command("destil", "--text=a")
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: there is no job 'destil'" in done.stderr and "  distill " in done.stderr
