"""The training phases of a stage: on raw text, then on the task."""

import dataclasses
import gc
import math
from collections.abc import Callable, Mapping

import tensorflow as tf

from tf_efficientbert.data.batching import TrainingBatches
from tf_efficientbert.distillation.teacher_pass import PredictionsAlone, TeacherPass
from tf_efficientbert.search.context import SearchContext
from tf_efficientbert.search.learner import Learner
from tf_efficientbert.search.seeds import seed_of
from tf_efficientbert.search.stages import Stage
from tf_efficientbert.training.fit import count_steps

__all__ = ["Phase", "training_phases"]


@dataclasses.dataclass(frozen=True)
class Phase:
    """One training phase: on raw text, or on the task.

    Attributes:
        name: used in the progress bar and for checkpoints.
        teacher: computes or looks up the teacher outputs of a batch.
        batches: batches[k] is the batch of step k.
        epochs: passes over the batches; may be a fraction.
        learning_rate: peak of linear warm-up and decay.
        scales: of the terms, 0 for those that read what the teacher lacks; see `Objective.scales`.
        teacher_specs: of all outputs that the objective reads.
        evaluate: called after each epoch with the remaining networks, {key: network}; its figures
            are added to the step's record.
    """

    name: str
    teacher: TeacherPass | PredictionsAlone
    batches: object
    epochs: float
    learning_rate: float
    scales: tuple[float, ...]
    teacher_specs: Mapping[str, tf.TensorSpec]
    evaluate: Callable[[Mapping[int, Learner]], dict[str, float]] | None = None

    @property
    def steps(self) -> int:
        return count_steps(self.epochs, self.batches)


def training_phases(
    context: SearchContext, stage: Stage, batches_of=TrainingBatches, evaluate=None
) -> list[Phase]:
    """Returns the phases of a stage; all of its candidates see the same batches.

    Args:
        batches_of: (examples, batch size, seed) -> batches.
        evaluate: see `Phase`; called in the task phase.
    """
    gc.collect()  # frees an earlier stage's examples and their cached teacher outputs
    training, examples, objective = stage.training, context.examples, context.objective
    groups = math.ceil(stage.candidates / context.group_size)
    trainings = 1 if stage.shares_weights else groups

    def batches(name: str, shown, teacher: TeacherPass | PredictionsAlone, epochs: float):
        with_outputs = teacher.cached(
            shown,
            epochs * trainings,
            objective.ignores_padding,
            context.teacher_memory_gb,
            context.output_store,
        )
        return batches_of(with_outputs, training.batch_size, seed_of(context.seed, "batches", name))

    def phase(name: str, teacher, batches, epochs: float, learning_rate: float, evaluate=None):
        scales = objective.scales(teacher.reads, on_text=name == "text")
        specs = context.teacher_specs
        return Phase(name, teacher, batches, epochs, learning_rate, scales, specs, evaluate)

    phases = []
    teacher, epochs = context.text_teacher, training.text_epochs
    if training.text_share and epochs and teacher.reads:
        text = batches("text", examples.on_text(training.text_share), teacher, epochs)
        phases.append(phase("text", teacher, text, epochs, training.text_learning_rate))
    teacher, epochs = context.task_teacher, training.task_epochs
    share = examples.on_task(stage.held_out, training.task_share)
    task = batches("task", share, teacher, epochs)
    phases.append(phase("task", teacher, task, epochs, training.task_learning_rate, evaluate))
    return phases
