"""Scores a saved model on labelled data.

    python -m trainers.evaluate \\
        --model=runs/student/model --split=test --output_dir=runs/scores
"""

from tf_efficientbert.inference.evaluate import EvaluateOptions, evaluate
from trainers.job import print_figures, run_job

if __name__ == "__main__":
    run_job(EvaluateOptions, evaluate, print_figures)
