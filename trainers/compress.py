"""Prunes, quantizes or shortens a trained student while it trains on its teacher.

Example:
    tf-efficientbert compress \\
        --model=runs/student/model --teacher=runs/teacher/model --output_dir=runs/compressed \\
        --compress='prune(0.5),quantize(int8)'
"""

from tf_efficientbert.compression.compress import CompressOptions, compress
from tf_efficientbert.reporting.compression import compression_rows
from tf_efficientbert.reporting.tables import text_table
from trainers.job import print_figures, run_job


def print_steps(result: dict) -> None:
    """Prints the score and size after each step, and the figures of the final model."""
    print(text_table(compression_rows(result["steps"])))
    print_figures({name: value for name, value in result.items() if name != "steps"})


if __name__ == "__main__":
    run_job(CompressOptions, compress, print_steps)
