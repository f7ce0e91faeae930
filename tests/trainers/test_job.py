import dataclasses
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tf_efficientbert.compression.compress import CompressOptions
from tf_efficientbert.distillation.distiller import DistillOptions
from tf_efficientbert.distillation.warm_up import WarmUpOptions
from tf_efficientbert.export import ExportOptions
from tf_efficientbert.inference import EvaluateOptions, PredictOptions
from tf_efficientbert.pipeline import PipelineOptions
from tf_efficientbert.search.options import SearchOptions
from tf_efficientbert.training.fine_tune import FineTuneOptions

_ROOT = Path(__file__).parents[2]

# A job that starts quickly.
_JOB = """import dataclasses
import logging
from tf_efficientbert.errors import UserError
from tf_efficientbert.options import option
from trainers.job import print_figures, run_job


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    grams: int = option(500, "weight of the loaf")
    flour: str = option("rye", "what it is made of")


def bake(options):
    logging.getLogger("tf_efficientbert.oven").info("the oven is hot")
    logging.getLogger("tf_efficientbert.oven").debug("a spider ran away")
    if options.flour == "sand":
        raise UserError("--flour=sand cannot be baked")
    if options.flour == "air":
        raise RuntimeError("the loaf is gone")
    return {"grams": options.grams, "pi": 3.14159}


if __name__ == "__main__":
    run_job(Options, bake, print_figures)
"""


@pytest.fixture(scope="module")
def bake(tmp_path_factory):
    """Runs the job in a process with these arguments."""
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


def test_figures_go_to_stdout_and_log_messages_to_stderr(bake):
    done = bake("--grams=750")
    assert done.returncode == 0
    assert done.stdout == "grams: 750\npi: 3.1416\n"
    assert done.stderr == "the oven is hot\n"


def test_a_user_error_is_one_line_and_status_1(bake):
    done = bake("--flour=sand")
    expected = "the oven is hot\nerror: --flour=sand cannot be baked\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", expected)


def test_an_unexpected_error_shows_a_traceback(bake):
    done = bake("--flour=air")
    assert done.returncode != 0
    assert "Traceback" in done.stderr and "RuntimeError: the loaf is gone" in done.stderr


def test_the_help_of_a_real_job_lists_its_flags():
    done = _run("-m", "trainers.predict", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Predicts labels for text with a saved model.")
    words = " ".join(done.stdout.split())
    for field in dataclasses.fields(PredictOptions):
        assert f"--{field.name} {field.metadata['help']}" in words


@pytest.mark.parametrize(
    "options_class",
    [
        DistillOptions,
        EvaluateOptions,
        ExportOptions,
        FineTuneOptions,
        PipelineOptions,
        PredictOptions,
        SearchOptions,
        WarmUpOptions,
    ],
)
def test_every_option_of_every_job_can_be_a_flag(options_class):
    fields = dataclasses.fields(options_class)
    assert "output_dir" in {field.name for field in fields}
    for field in fields:
        optional = field.type in (bool | None, int | None, float | None)
        assert optional or field.type in (bool, int, float, str), field.name
        assert isinstance(field.default, field.type), field.name
        assert len(field.metadata["help"]) > 5, field.name


@pytest.mark.parametrize(
    "options", [CompressOptions, DistillOptions, PipelineOptions, SearchOptions]
)
def test_the_parts_of_options_have_no_name_in_common(options):
    """One of two unrelated parts would hide what the other has of the same name."""
    owners = {}
    for part in options.__mro__[:-1]:
        for name in vars(part):
            if not name.startswith("__"):
                owners.setdefault(name, []).append(part)
    for name, parts in owners.items():
        for part, later in itertools.pairwise(parts):
            assert issubclass(part, later), f"{name}: {part.__name__}, {later.__name__}"
