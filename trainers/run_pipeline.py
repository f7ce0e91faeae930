"""From text to a searched, distilled, exported student: what `make run` calls.

python -m trainers.run_pipeline --flagfile=trainers/recipes/quickstart.flags
"""

import os
import sys

from absl import flags

from tf_efficientbert.pipeline.options import PipelineOptions
from tf_efficientbert.pipeline.report import render
from tf_efficientbert.pipeline.run import run_pipeline
from trainers.job import run_job


def print_report(report: dict) -> None:
    """The tables, and what to type next."""
    python = min(sys.executable, os.path.relpath(sys.executable), key=len)
    print(render(report, flags.FLAGS["output_dir"].value, python))


if __name__ == "__main__":
    run_job(PipelineOptions, run_pipeline, print_report)
