"""Makes a trained student smaller while it learns on from its teacher.

    python -m trainers.compress \\
        --model=runs/student/model --teacher=runs/teacher/model --output_dir=runs/compressed \\
        --compress='prune(0.5),quantize(int8)'
"""

from tf_efficientbert.compression.compress import CompressOptions, compress
from trainers.job import print_figures, run_job

if __name__ == "__main__":
    run_job(CompressOptions, compress, print_figures)
