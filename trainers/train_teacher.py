"""Fine-tunes a BERT on a task.

Example:
    tf-efficientbert train_teacher --output_dir=runs/teacher
"""

from tf_efficientbert.training.fine_tune import FineTuneOptions, fine_tune
from trainers.job import print_figures, run_job

if __name__ == "__main__":
    run_job(FineTuneOptions, fine_tune, print_figures)
