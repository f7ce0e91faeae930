"""Scores a saved model on labelled data.

Example:
    tf-efficientbert evaluate \\
        --model=runs/student/model --score_split=test --output_dir=runs/scores
"""

from tf_efficientbert.inference.evaluate import EvaluateOptions, evaluate
from trainers.job import print_figures, run_job


def print_scores(result: dict) -> None:
    """Prints a line for each figure, then one for each class."""
    print_figures({name: value for name, value in result.items() if name != "classes"})
    for row in result.get("classes", ()):
        figures = "  ".join(f"{name} {row[name]:.3f}" for name in ("precision", "recall", "f1"))
        print(f"{figures}  support {row['support']:>5}  {row['label']}")


if __name__ == "__main__":
    run_job(EvaluateOptions, evaluate, print_scores)
