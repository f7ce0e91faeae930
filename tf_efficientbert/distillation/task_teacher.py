"""A job's teacher on the task: a fine-tuned model or a file of predictions."""

import dataclasses
import math
from collections.abc import Sequence

from tf_efficientbert.data.batching import EncodedExamples
from tf_efficientbert.distillation.teacher_ensemble import TeacherEnsemble
from tf_efficientbert.distillation.teacher_pass import TeachingOptions
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.text_model import TextModel, load
from tf_efficientbert.options import input_option, option
from tf_efficientbert.tasks import Task

__all__ = ["TaskTeacherOptions", "check_width", "labelled_by", "load_task_teacher"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskTeacherOptions(TeachingOptions):
    """Options for the teacher on the task."""

    teacher: str = input_option(
        "",
        "folder that train_teacher made: …/model; of several, a,b, students learn the mean of the "
        "logits, and the hidden states of the first",
    )
    teacher_shares: str = option(
        "", "weights of several teachers in the mean, such as 2,1; empty: equal"
    )
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
        if self.teacher_shares:
            self.teacher_weights  # noqa: B018  checks --teacher_shares

    @property
    def teacher_weights(self) -> list[float]:
        """The share of each teacher in the mean of predictions; they sum to 1.

        Raises:
            UserError: --teacher_shares is invalid.
        """
        count = len(self.teacher.split(","))
        if not self.teacher_shares:
            return [1 / count] * count
        try:
            weights = [float(weight) for weight in self.teacher_shares.split(",")]
        except ValueError:
            weights = []
        if count < 2 or len(weights) != count or not all(0 < w < math.inf for w in weights):
            raise UserError(
                f"--teacher_shares={self.teacher_shares}: expected a number above 0 for each of "
                "several teachers in --teacher"
            )
        return [weight / sum(weights) for weight in weights]


def load_task_teacher(
    folders: str,
    shares: Sequence[float],
    task: Task,
    max_tokens: int,
    start: TextModel,
    origin: str,
) -> TextModel | None:
    """Loads the fine-tuned model; several become a `TeacherEnsemble`. None for "".

    Args:
        folders: of saved models, separated by commas.
        shares: of each in the mean of predictions.
        max_tokens: of the longest text.
        start: the model from which the student inherits its vocabulary.
        origin: the flag of `start`, for messages.

    Raises:
        UserError: the teacher was trained for another task, has another vocabulary or too few
            positions.
    """
    if not folders:
        return None
    teachers = [_load_one(folder, task, max_tokens, start, origin) for folder in folders.split(",")]
    first, *others = teachers
    if not others:
        return first
    ensemble = TeacherEnsemble([teacher.model for teacher in teachers], shares)
    return first.with_network(ensemble)


def _load_one(folder: str, task: Task, max_tokens: int, start: TextModel, origin: str) -> TextModel:
    teacher = load(folder)
    teacher.require_task(task, f"--teacher={folder}")
    if not teacher.tokenizer.same_tokens(start.tokenizer):
        raise UserError(
            f"the vocabularies of --teacher={folder} and {origin} differ, or what they do with "
            "case and accents; use one BERT for both"
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
