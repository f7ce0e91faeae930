"""The job that scores a saved model on labelled data."""

import dataclasses

from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.text_model import load
from tf_efficientbert.options import input_option, option
from tf_efficientbert.training.run_directory import open_run_directory


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateOptions(TaskOptions):
    """Options of `evaluate`."""

    output_dir: str = option("", "output folder (result.json)")
    model: str = input_option("", "folder of the model to score")
    score_split: str = option(
        "", "split to score: train, dev or test (MNLI: also dev_mismatched); empty: dev if any"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model:
            raise UserError("--model is missing: name the folder of a saved model")


def evaluate(options: EvaluateOptions) -> dict:
    """Scores a model on one split.

    Returns: the task's metrics (accuracy also has its standard error) and "examples". A task with
        classes adds "macro_f1" and "classes", see `LabelledTask.per_class`.

    Raises:
        UserError: a flag or file is invalid, the split has no labels, or the data belongs to
            another task than the model.
    """
    with open_run_directory(options) as run:
        if run.result:
            return run.result
        model = load(options.model)
        data = TaskData(options, model.task)
        model.require(data.task, options.max_tokens, f"--model={options.model}")
        split = options.score_split or ("dev" if "dev" in data.splits else data.score_split)
        examples = data.load(split)
        if examples.labels is None:
            raise UserError(f"--score_split={split} of {data.task.name} has no labels")
        logits = model.logits(model.encode(examples))
        model.score_by(data.task.metrics)
        result = {**model.task.report(logits, examples.labels), "examples": len(examples)}
        classes = model.task.per_class(logits, examples.labels)
        return run.finish({**result, **({"classes": classes} if classes else {})})
