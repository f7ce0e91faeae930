"""Exports a model as SavedModel and LiteRT, compares them with Keras and times them.

Example:
    tf-efficientbert export_model \\
        --model=runs/student/model --output_dir=runs/export

Every exported file is compared with the Keras model; parity.json holds the comparison. If one
exceeds --max_float_difference, --max_float16_difference or --max_int8_loss, the job fails and
delivers nothing.

Write the SavedModel as the next version into a folder that TF Serving watches:
    tf-efficientbert export_model --saved_model_dir=models/reviews \\
        --model=runs/student/model --output_dir=runs/export

Export a question answering model, which is compared on SQuAD questions:
    tf-efficientbert export_model --questions=dev-v1.1.json \\
        --model=runs/squad/model --output_dir=runs/export

Export a Hugging Face folder, runs/hub/huggingface:
    tf-efficientbert export_model --format=huggingface \\
        --model=runs/student/model --output_dir=runs/hub
"""

from tf_efficientbert.export.exporter import export
from tf_efficientbert.export.options import ExportOptions
from tf_efficientbert.reporting.parity import form_rows
from tf_efficientbert.reporting.tables import text_table
from trainers.job import print_figures, run_job


def print_exported(result: dict) -> None:
    """Prints the comparison with the Keras model, then the paths of the files."""
    litert = result.get("litert", {})
    paths = {f"litert {precision}": file["path"] for precision, file in litert.items()}
    if "parity" in result:
        print(
            f"On the {result['parity_split']} set. Differences are from the Keras model's logits, "
            "or from its probabilities if a form outputs those. Times are for one text:"
        )
        print(text_table(form_rows(result["parity"], litert)))
    others = ("metric", "litert", "parity", "parity_split")
    print_figures(paths | {name: value for name, value in result.items() if name not in others})


if __name__ == "__main__":
    run_job(ExportOptions, export, print_exported)
