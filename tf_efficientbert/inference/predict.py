"""The job that predicts labels for text."""

import dataclasses
import re
from collections.abc import Iterable

from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.file_options import FileOptions
from tf_efficientbert.data.own_data import read_texts
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.text_model import TextModel, load
from tf_efficientbert.options import input_option, option
from tf_efficientbert.storage import write_file
from tf_efficientbert.tasks import LabelledTask
from tf_efficientbert.training.run_directory import open_run_directory


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictOptions(FileOptions):
    """Options of `predict`."""

    output_dir: str = option("", "folder for predictions.tsv; empty: print only")
    model: str = input_option("", "folder of the model")
    text: str = option("", "one text")
    second_text: str = option("", "the second text, if the task takes pairs")
    input_file: str = input_option("", "a file of texts: .csv, .tsv, .jsonl, .json or .parquet")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model:
            raise UserError("--model is missing: name the folder of a saved model")
        if bool(self.text.strip()) == bool(self.input_file):
            raise UserError("give either a non-empty --text or --input_file")
        if self.second_text and self.input_file:
            raise UserError(
                "--second_text goes with --text; for --input_file set --second_text_column"
            )


def predict(options: PredictOptions) -> dict:
    """Predicts one text or a file of texts.

    Returns: {"predictions": [{"text", "second_text", "label", "score"}, ...]}. With `output_dir`,
        they are also written to predictions.tsv there. Tabs and line breaks in texts become spaces.

    Raises:
        UserError: a flag or file is invalid.
    """
    if not options.output_dir:
        return _predict(options)
    with open_run_directory(options) as run:
        if run.result:
            return run.result
        result = _predict(options)
        rows = result["predictions"]
        lines = [tab_separated(rows[0]), *(tab_separated(row.values()) for row in rows)]
        content = "".join(f"{line}\n" for line in lines).encode("utf-8")
        write_file(run.path / "predictions.tsv", content)
        return run.finish(result)


def tab_separated(values: Iterable) -> str:
    """Joins the values with tabs. Tabs and line breaks in values become spaces."""
    return "\t".join(re.sub(r"[\t\r\n]", " ", str(value)) for value in values)


def _predict(options: PredictOptions) -> dict:
    model = load(options.model)
    if model.task is None:
        raise UserError(f"--model={options.model} has no task head, so it cannot predict")
    if not isinstance(model.task, LabelledTask):
        raise UserError(
            f"--model={options.model}: `predict` does not support a {model.task.kind} task; "
            "serve the exported model instead (serving/README.md)"
        )
    examples = _texts(options, model)
    predictions = model.predict(*examples.columns)
    seconds = examples.second_texts or [""] * len(examples)
    return {
        "predictions": [
            {"text": first, "second_text": second, **prediction._asdict()}
            for first, second, prediction in zip(examples.texts, seconds, predictions, strict=True)
        ]
    }


def _texts(options: PredictOptions, model: TextModel) -> Examples:
    pair = model.task.pair
    if options.input_file:
        return read_texts(options.input_file, options, pair)
    if bool(options.second_text) != pair:
        expected = "needs a" if pair else "takes no"
        raise UserError(f"--second_text: task {model.task.name} {expected} second text")
    return Examples((options.text,), (options.second_text,) if pair else None, None)
