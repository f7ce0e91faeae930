"""The command `tf-efficientbert`, run in subprocesses."""

import os
import shlex
import shutil
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
    assert names == jobs | {"serve", "ask", "load_test", "web_page", "completion"}
    assert all(len(about) > 20 for _, about in lines)
    assert command("--help").stdout == listed.stdout


def test_a_job_runs_like_its_module(command):
    done = command("predict", "--text=a")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: --model is missing: name the folder of a saved model\n"
    assert command("ask", "--help").stdout.startswith("Sends requests to a server")


def test_the_error_for_an_unknown_job_lists_the_known_ones(command):
    done = command("destil", "--text=a")
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: unknown job 'destil'" in done.stderr and "  distill " in done.stderr


@pytest.fixture(scope="module")
def completed(command, tmp_path_factory):
    """(words typed so far) -> what bash offers for the last of them."""
    bash = shutil.which("bash")
    if not bash:
        pytest.skip("bash is not installed")
    done = command("completion", "--shell=bash")
    assert done.returncode == 0, done.stderr
    script = tmp_path_factory.mktemp("completion") / "tf-efficientbert"
    script.write_text(done.stdout, "utf-8")

    def completed(*words):
        commands = f"""
            source {script}
            COMP_WORDS=({" ".join(map(shlex.quote, words))})
            COMP_CWORD={len(words) - 1}
            $(complete -p tf-efficientbert | sed 's/.*-F \\([^ ]*\\).*/\\1/')
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        call = [bash, "--norc", "-c", commands]
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout.split()

    return completed


def test_bash_completes_jobs_and_their_flags(completed):
    assert {"search", "search_report", "serve"} <= set(completed("tf-efficientbert", "se"))
    flags = set(completed("tf-efficientbert", "distill", "--teacher"))
    names = ("", "_cache", "_cache_gb", "_dir", "_memory_gb", "_predictions", "_shares")
    assert flags == {f"--teacher{name}" for name in names}
    assert completed("tf-efficientbert", "distill", "--nobfl") == ["--nobfloat16"]
    assert completed("tf-efficientbert", "ask", "--mod") == ["--model"]


def test_a_shell_without_completion_is_an_error(command):
    done = command("completion", "--shell=cmd")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: --shell=cmd: expected one of bash, zsh, ")
