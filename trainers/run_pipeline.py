"""Trains a teacher, searches, distils, exports and reports; `make run` calls it.

Example:
    tf-efficientbert run_pipeline --flagfile=trainers/recipes/quickstart.flags
"""

import os
import shutil
import sys

from absl import flags

from tf_efficientbert.pipeline.options import PipelineOptions
from tf_efficientbert.pipeline.report import render
from tf_efficientbert.pipeline.run import run_pipeline
from trainers.job import run_job


def print_report(report: dict) -> None:
    """Prints the tables and the next command."""
    print(render(report, flags.FLAGS["output_dir"].value, _program()))


def _program() -> str:
    """How the reader calls `tf-efficientbert`: by name if it is on the PATH, else by its path."""
    if shutil.which("tf-efficientbert"):
        return "tf-efficientbert"
    path = os.path.join(os.path.dirname(sys.executable), "tf-efficientbert")
    return min(path, os.path.relpath(path), key=len)


if __name__ == "__main__":
    run_job(PipelineOptions, run_pipeline, print_report)
