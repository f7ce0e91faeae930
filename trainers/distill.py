"""Distils a student from a teacher, starting from a supernet.

Example:
    tf-efficientbert distill \\
        --teacher=runs/teacher/model --supernet=runs/supernet/model --output_dir=runs/student
"""

from tf_efficientbert.distillation.distiller import DistillOptions, distill
from trainers.job import print_figures, run_job

if __name__ == "__main__":
    run_job(DistillOptions, distill, print_figures)
