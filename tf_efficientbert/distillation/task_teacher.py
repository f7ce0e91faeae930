"""Which teacher a job has on the task: a fine-tuned model, or a file of predictions."""

import dataclasses

from tf_efficientbert.distillation.teacher_pass import TeachingOptions
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.text_model import TextModel, load
from tf_efficientbert.options import input_option
from tf_efficientbert.tasks import Task

__all__ = ["TaskTeacherOptions", "check_width", "load_task_teacher"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskTeacherOptions(TeachingOptions):
    """What a job is told about its teacher on the task."""

    teacher: str = input_option("", "folder that train_teacher made: …/model")
    teacher_predictions: str = input_option(
        "",
        "in place of --teacher: a .jsonl file with a text or id and a probability for each label; "
        "it teaches by prediction alone",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.teacher) == bool(self.teacher_predictions):
            raise UserError(
                "give one teacher: --teacher, the folder of a saved model, or --teacher_predictions"
            )


def load_task_teacher(folder: str, task: Task, start: TextModel, origin: str) -> TextModel | None:
    """The fine-tuned model in `folder`; None without one.

    Args:
        start: the model whose tokens the student gets, and `origin` the flag that names it.

    Raises:
        UserError: it was trained for another task, or has another vocabulary.
    """
    if not folder:
        return None
    teacher = load(folder)
    teacher.require_task(task, f"--teacher={folder}")
    if teacher.tokenizer.vocabulary != start.tokenizer.vocabulary:
        raise UserError(
            f"the vocabularies of --teacher={folder} and {origin} differ: distil both from one BERT"
        )
    return teacher


def check_width(teacher: TextModel, folder: str, supernet: TextModel, origin: str) -> None:
    """Raises UserError where the teacher's hidden states cannot be compared with the supernet's."""
    width = teacher.backbone.architecture.hidden_size
    if supernet.backbone.fit_size != width:
        raise UserError(
            f"--teacher={folder} is {width} wide, but {origin} was distilled from a teacher of "
            f"{supernet.backbone.fit_size}"
        )
