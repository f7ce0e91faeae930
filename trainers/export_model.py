"""Exports a model as SavedModel and LiteRT, compares and times them.

    python -m trainers.export_model \\
        --model=runs/student/model --output_dir=runs/export

A SavedModel that TF Serving is to find under a model's own folder, as its next version:

    python -m trainers.export_model --saved_model_dir=models/reviews \\
        --model=runs/student/model --output_dir=runs/export

Forms that do not say what the Keras model says are not delivered: --max_float_difference,
--max_float16_difference and --max_int8_loss are the limits, parity.json is the comparison.

A model that finds answers in a context is compared on questions:

    python -m trainers.export_model --questions=dev-v1.1.json \\
        --model=runs/squad/model --output_dir=runs/export

Or as a Hugging Face folder, runs/hub/huggingface:

    python -m trainers.export_model --format=huggingface \\
        --model=runs/student/model --output_dir=runs/hub
"""

from tf_efficientbert.export.exporter import ExportOptions, export
from tf_efficientbert.reporting.parity import form_rows
from tf_efficientbert.reporting.tables import text_table
from trainers.job import print_figures, run_job


def print_exported(result: dict) -> None:
    """Where everything is, and how each form answers beside the Keras model."""
    litert = result.get("litert", {})
    paths = {f"litert {precision}": file["path"] for precision, file in litert.items()}
    if "parity" in result:
        print(
            f"On the {result['parity_split']} set; differences are from the Keras model's logits, "
            "or its probabilities where those are what a form answers; times are of one text:"
        )
        print(text_table(form_rows(result["parity"], litert)))
    others = ("metric", "litert", "parity", "parity_split")
    print_figures(paths | {name: value for name, value in result.items() if name not in others})


if __name__ == "__main__":
    run_job(ExportOptions, export, print_exported)
