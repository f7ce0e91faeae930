"""Commands with flags from a dataclass of options, run in subprocesses."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_COMMAND = '''"""Bakes one loaf.

python -m bake --grams=500
"""
import dataclasses
from tf_efficientbert.command import run_command
from tf_efficientbert.errors import UserError
from tf_efficientbert.options import option


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    grams: int = option(500, "weight of the loaf")
    salt: float = option(0.02, "share of the flour")
    flour: str = option("rye", "what it is made of")
    steam: bool = option(False, "whether the oven steams")
    seeds: bool | None = option(None, "whether seeds are on top")
    minutes: float | None = option(None, "how long it takes")

    def __post_init__(self):
        if self.grams < 1:
            raise UserError(f"--grams={self.grams}: expected a number above 0")


def bake(options):
    if options.flour == "sand":
        raise UserError("--flour=sand cannot be baked")
    if options.flour == "smoke":
        raise KeyboardInterrupt
    print(options)
    return 3 if options.flour == "wet" else None


if __name__ == "__main__":
    run_command(Options, bake, "taken out of the oven")
'''


@pytest.fixture(scope="module")
def bake(tmp_path_factory):
    """Runs the command with these arguments."""
    path = tmp_path_factory.mktemp("commands") / "bake.py"
    path.write_text(_COMMAND, "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}

    def bake(*arguments):
        command = [sys.executable, str(path), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)

    return bake


def test_flags_become_options_of_their_types(bake):
    done = bake(
        "--grams=750", "--salt=1e-2", "--flour=spelt", "--steam", "--noseeds", "--minutes=5"
    )
    assert done.returncode == 0
    expected = "Options(grams=750, salt=0.01, flour='spelt', steam=True, seeds=False, minutes=5.0)"
    assert done.stdout == f"{expected}\n"


def test_missing_flags_have_the_defaults_of_the_options(bake):
    done = bake("--nosteam", "--flour=")
    expected = "Options(grams=500, salt=0.02, flour='', steam=False, seeds=None, minutes=None)"
    assert expected in done.stdout


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--grams=0", "error: --grams=0: expected a number above 0\n"),
        ("--flour=sand", "error: --flour=sand cannot be baked\n"),
        ("grams=5", "error: unexpected argument 'grams=5': options start with --\n"),
    ],
)
def test_a_user_error_is_one_line_and_status_1(bake, argument, message):
    done = bake(argument)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", message)


def test_the_return_value_is_the_exit_status(bake):
    assert bake("--flour=wet").returncode == 3


def test_an_interrupted_command_prints_its_message(bake):
    done = bake("--flour=smoke")
    assert (done.returncode, done.stderr) == (1, "error: taken out of the oven\n")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--gramms=5", "Unknown command line flag 'gramms'. Did you mean: grams"),
        ("--grams=many", "flag --grams=many: invalid literal"),
        ("--grams=1.5", "flag --grams=1.5"),
        ("--salt=pinch", "flag --salt=pinch: could not convert"),
        ("--steam=perhaps", "flag --steam=perhaps"),
    ],
)
def test_a_flag_with_unknown_name_or_wrong_type_is_rejected(bake, argument, message):
    done = bake(argument)
    assert done.returncode == 1 and message in done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr


def test_help_shows_what_the_job_does_and_each_flag_with_its_default(bake):
    done = bake("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Bakes one loaf.\n\npython -m bake --grams=500\n\nFlags:\n")
    for flag, default, what in (
        ("--grams", "500", "weight of the loaf"),
        ("--salt", "0.02", "share of the flour"),
        ("--flour", "rye", "what it is made of"),
        ("--[no]steam", "false", "whether the oven steams"),
    ):
        assert f"  {flag}\n      {what} (default: {default})\n" in done.stdout


def test_help_ignores_a_closed_pipe():
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "tf_efficientbert.cli", "--help"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=environment)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
