"""Data, teachers and settings that all candidates of a search share."""

import dataclasses

import tensorflow as tf

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.distillation.inheritance import new_student
from tf_efficientbert.distillation.objective import Objective
from tf_efficientbert.distillation.output_store import OutputStore
from tf_efficientbert.distillation.teacher_pass import PredictionsAlone, TeacherPass
from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.search.examples import SearchExamples
from tf_efficientbert.search.learner import Learner
from tf_efficientbert.tasks import LabelledTask

__all__ = ["SearchContext"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchContext:
    """Task, examples, teachers, supernet and objective, shared by all stages.

    Attributes:
        supernet: the warmed-up network from which candidates inherit their weights.
        text_teacher: the teacher before fine-tuning.
        task_teacher: the fine-tuned teacher, or predictions from a file.
        objective: the distillation loss.
        dropout, dtype: of the candidates.
        seed: random seed of the search.
        checkpoint_seconds: seconds between checkpoints of a training.
        teacher_memory_gb: see `TeachingOptions`.
        output_store: keeps teacher outputs on disk.
        group_size: number of candidates that share a teacher pass.
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
    output_store: OutputStore | None = None

    def learner(self, architecture: Architecture, seed: int, chooses: bool = False) -> Learner:
        """Returns a new network that inherits the supernet's weights.

        Args:
            seed, chooses: see `Learner`.

        Raises:
            ValueError: the architecture cannot inherit from the supernet.
        """
        student = new_student(architecture, self.supernet, self.task, self.dropout, self.dtype)
        return Learner(student, self.objective, seed, self.task, self.teacher_specs, chooses)

    @property
    def teacher_specs(self) -> dict[str, tf.TensorSpec]:
        """Shapes and dtypes of all teacher outputs that the objective reads."""
        return {**self.text_teacher.specs, **self.task_teacher.specs}
