"""Searches the feed-forward cells of a student in three stages.

Example:
    tf-efficientbert search --stages=quick --output_dir=runs/search \\
        --teacher=runs/teacher/model --supernet=runs/supernet/model
"""

from tf_efficientbert.search.options import SearchOptions
from tf_efficientbert.search.search import search
from trainers.job import print_figures, run_job


def print_found(result: dict) -> None:
    """Prints the figures, then a line for each layer of the architecture."""
    architecture = result.pop("architecture")
    print_figures(result)
    for layer, formula in enumerate(architecture["formulas"], start=1):
        print(f"layer {layer}: {formula}")


if __name__ == "__main__":
    run_job(SearchOptions, search, print_found)
