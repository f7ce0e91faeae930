"""Distils a supernet on raw text.

Example:
    tf-efficientbert pretrain_supernet --hidden_size=192 --output_dir=runs/supernet
"""

from tf_efficientbert.distillation.warm_up import WarmUpOptions, warm_up
from trainers.job import print_figures, run_job

if __name__ == "__main__":
    run_job(WarmUpOptions, warm_up, print_figures)
