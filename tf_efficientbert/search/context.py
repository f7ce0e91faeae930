"""What every candidate of a search is trained with."""

import dataclasses

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.distillation.inheritance import new_student
from tf_efficientbert.distillation.objective import Objective
from tf_efficientbert.distillation.teacher_pass import PredictionsAlone, TeacherPass
from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.models.task_model import TaskModel
from tf_efficientbert.search.examples import SearchExamples
from tf_efficientbert.tasks import LabelledTask

__all__ = ["SearchContext"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchContext:
    """Task, examples, teachers, warm weights and objective, shared by all stages.

    Attributes:
        supernet: the warm weights that candidates inherit.
        text_teacher: the teacher before fine-tuning.
        task_teacher: the fine-tuned teacher, or a file's predictions.
        objective: what candidates match.
        dropout, dtype: of candidates.
        seed: of the search.
        checkpoint_seconds: time between two checkpoints of a training.
        teacher_memory_gb: see `TeachingOptions`.
        group_size: candidates that share a teacher pass.
    """

    task: LabelledTask
    examples: SearchExamples
    supernet: EfficientBert
    text_teacher: TeacherPass
    task_teacher: TeacherPass | PredictionsAlone
    objective: Objective
    dropout: float
    dtype: str
    seed: int
    checkpoint_seconds: float
    teacher_memory_gb: float
    group_size: int

    def student(self, architecture: Architecture) -> TaskModel:
        """A candidate before its first step; raises ValueError where it cannot inherit."""
        return new_student(architecture, self.supernet, self.task, self.dropout, self.dtype)
