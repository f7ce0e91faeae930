"""Exports a model as SavedModel and LiteRT, compares and times them.

    python -m trainers.export_model \\
        --model=runs/student/model --output_dir=runs/export

Or as a Hugging Face folder, runs/export/huggingface:

    python -m trainers.export_model --format=huggingface \\
        --model=runs/student/model --output_dir=runs/export
"""

from tf_efficientbert.export.exporter import ExportOptions, export
from trainers.job import print_figures, run_job

if __name__ == "__main__":
    run_job(ExportOptions, export, print_figures)
