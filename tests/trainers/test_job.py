import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tf_efficientbert.distillation.distiller import DistillOptions
from tf_efficientbert.distillation.warm_up import WarmUpOptions
from tf_efficientbert.export import ExportOptions
from tf_efficientbert.inference import EvaluateOptions, PredictOptions
from tf_efficientbert.pipeline import PipelineOptions
from tf_efficientbert.training.fine_tune import FineTuneOptions

_ROOT = Path(__file__).parents[2]

# A job that is quick to start.
_JOB = '''"""Bakes one loaf.

python -m bake --grams=500
"""
import dataclasses
import logging
from tf_efficientbert.errors import UserError
from tf_efficientbert.options import option
from trainers.job import print_figures, run_job


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    grams: int = option(500, "weight of the loaf")
    salt: float = option(0.02, "share of the flour")
    flour: str = option("rye", "what it is made of")
    steam: bool = option(False, "whether the oven steams")

    def __post_init__(self):
        if self.grams < 1:
            raise UserError(f"--grams={self.grams}: expected a number above 0")


def bake(options):
    logging.getLogger("tf_efficientbert.oven").info("the oven is hot")
    logging.getLogger("tf_efficientbert.oven").debug("a spider ran away")
    if options.flour == "sand":
        raise UserError("--flour=sand cannot be baked")
    if options.flour == "air":
        raise RuntimeError("the loaf is gone")
    return {"options": repr(options), "pi": 3.14159}


if __name__ == "__main__":
    run_job(Options, bake, print_figures)
'''


@pytest.fixture(scope="module")
def bake(tmp_path_factory):
    """Runs the job with these arguments in a process of its own."""
    path = tmp_path_factory.mktemp("jobs") / "bake.py"
    path.write_text(_JOB, "utf-8")

    def bake(*arguments):
        return _run(str(path), *arguments)

    return bake


def _run(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=_ROOT, env=environment
    )


def test_flags_become_options_of_their_types(bake):
    done = bake("--grams=750", "--salt=1e-2", "--flour=spelt", "--steam")
    assert done.returncode == 0
    expected = "Options(grams=750, salt=0.01, flour='spelt', steam=True)"
    assert done.stdout == f"options: {expected}\npi: 3.1416\n"


def test_flags_that_are_not_given_have_the_options_defaults(bake):
    done = bake("--nosteam", "--flour=")
    assert "Options(grams=500, salt=0.02, flour='', steam=False)" in done.stdout


def test_our_own_messages_are_shown_on_stderr(bake):
    assert bake().stderr == "the oven is hot\n"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--grams=0", "error: --grams=0: expected a number above 0\n"),
        ("--flour=sand", "the oven is hot\nerror: --flour=sand cannot be baked\n"),
        ("grams=5", "error: unexpected argument 'grams=5': options start with --\n"),
    ],
)
def test_what_a_user_can_put_right_is_one_line_and_status_1(bake, argument, message):
    done = bake(argument)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", message)


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
def test_a_flag_that_is_unknown_or_of_another_type_is_refused(bake, argument, message):
    done = bake(argument)
    assert done.returncode == 1 and message in done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr


def test_a_fault_of_ours_shows_where_it_was(bake):
    done = bake("--flour=air")
    assert done.returncode != 0
    assert "Traceback" in done.stderr and "RuntimeError: the loaf is gone" in done.stderr


def test_help_shows_what_the_job_does_and_each_flag_with_its_default(bake):
    text = bake("--help").stdout
    assert "Bakes one loaf." in text
    for flag, default, what in (
        ("--grams", "500", "weight of the loaf"),
        ("--salt", "0.02", "share of the flour"),
        ("--flour", "rye", "what it is made of"),
        ("--[no]steam", "false", "whether the oven steams"),
    ):
        start = text.index(f"{flag}: {what}")
        assert f"(default: '{default}')" in text[start : start + 120]


def test_the_help_of_a_real_job_lists_its_flags():
    text = _run("-m", "trainers.predict", "--help").stdout
    assert "Answers text with a saved model." in text
    for field in dataclasses.fields(PredictOptions):
        assert f"--{field.name}: {field.metadata['help'][:20]}" in text


@pytest.mark.parametrize(
    "options_class",
    [
        DistillOptions,
        EvaluateOptions,
        ExportOptions,
        FineTuneOptions,
        PipelineOptions,
        PredictOptions,
        WarmUpOptions,
    ],
)
def test_every_option_of_every_job_can_be_a_flag(options_class):
    fields = dataclasses.fields(options_class)
    assert "output_dir" in {field.name for field in fields}
    for field in fields:
        assert field.type in (bool, int, float, str), field.name
        assert type(field.default) is field.type, field.name
        assert len(field.metadata["help"]) > 5, field.name
