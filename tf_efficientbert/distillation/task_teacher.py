"""A job's teacher on the task: a fine-tuned model or a file of predictions."""

import dataclasses

from tf_efficientbert.data.batching import EncodedExamples
from tf_efficientbert.distillation.teacher_pass import TeachingOptions
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.text_model import TextModel, load
from tf_efficientbert.options import input_option
from tf_efficientbert.tasks import Task

__all__ = ["TaskTeacherOptions", "check_width", "labelled_by", "load_task_teacher"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskTeacherOptions(TeachingOptions):
    """Options for the teacher on the task."""

    teacher: str = input_option("", "folder that train_teacher made: …/model")
    teacher_predictions: str = input_option(
        "",
        "instead of --teacher: a .jsonl file with text or id and a probability for each label; "
        "students then learn only from predictions",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.teacher) == bool(self.teacher_predictions):
            raise UserError(
                "set either --teacher, the folder of a saved model, or --teacher_predictions"
            )


def load_task_teacher(
    folder: str, task: Task, max_tokens: int, start: TextModel, origin: str
) -> TextModel | None:
    """Loads the fine-tuned model in `folder`; None if `folder` is "".

    Args:
        max_tokens: of the longest text.
        start: the model from which the student inherits its vocabulary.
        origin: the flag of `start`, for messages.

    Raises:
        UserError: the teacher was trained for another task, has another vocabulary or too few
            positions.
    """
    if not folder:
        return None
    teacher = load(folder)
    teacher.require_task(task, f"--teacher={folder}")
    if teacher.tokenizer.vocabulary != start.tokenizer.vocabulary:
        raise UserError(
            f"the vocabularies of --teacher={folder} and {origin} differ; use one BERT for both"
        )
    if max_tokens > teacher.backbone.max_positions:
        raise UserError(
            f"--max_tokens={max_tokens}: --teacher={folder} has only "
            f"{teacher.backbone.max_positions} positions"
        )
    return teacher


def labelled_by(teacher: TextModel, unlabelled: EncodedExamples) -> EncodedExamples:
    """Returns the examples with the labels that the distillation loss reads.

    A regression's loss reads labels, so they are the teacher's predictions; other tasks need none.
    """
    if teacher.task.distilled_outputs:
        return unlabelled
    return dataclasses.replace(unlabelled, labels=teacher.logits(unlabelled))


def check_width(teacher: TextModel, folder: str, supernet: TextModel, origin: str) -> None:
    """Raises UserError if the supernet's fit projection does not match the teacher's width."""
    width = teacher.backbone.architecture.hidden_size
    if supernet.backbone.fit_size != width:
        raise UserError(
            f"--teacher={folder} has hidden size {width}, but {origin} was distilled from a "
            f"teacher with {supernet.backbone.fit_size}"
        )
