"""What every candidate of a search is trained and scored with."""

import dataclasses
import gc
import math
import random

import numpy as np
import tensorflow as tf

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.data.batching import (
    MODEL_INPUTS,
    EncodedExamples,
    TrainingBatches,
    evaluation_batches,
)
from tf_efficientbert.distillation.cached_outputs import CachedTeacherOutputs
from tf_efficientbert.distillation.inheritance import new_student
from tf_efficientbert.distillation.objective import Objective
from tf_efficientbert.distillation.teacher_pass import PredictionsAlone, TeacherPass
from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.models.task_model import TaskModel
from tf_efficientbert.search.group import Phase
from tf_efficientbert.search.learner import Learner
from tf_efficientbert.search.stages import Stage
from tf_efficientbert.tasks import LabelledTask

__all__ = ["HeldOut", "SearchContext", "seed_of"]

_SCORING_BATCH = 64


def seed_of(*parts) -> int:
    """A seed, 31 bits, that follows from `parts` in every process."""
    return random.Random("/".join(map(str, parts))).getrandbits(31)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchContext:
    """Teachers, warm weights, text and task.

    Attributes:
        supernet: the warm weights that candidates inherit.
        text_teacher: the teacher before fine-tuning.
        task_teacher: the fine-tuned one, or what stands in its place.
        text: raw text.
        train: the task's training set; what is held out is a part of it.
        taught: the same as it teaches, with predictions where a file gives them.
        objective: what candidates match.
        dropout, dtype: of candidates.
        seed: of the search.
        checkpoint_seconds: time between two checkpoints of a training.
        teacher_memory_gb: see `TeachingOptions`.
        group_size: candidates that share a teacher pass.
    """

    task: LabelledTask
    supernet: EfficientBert
    text_teacher: TeacherPass
    task_teacher: TeacherPass | PredictionsAlone
    text: EncodedExamples
    train: EncodedExamples
    taught: EncodedExamples | CachedTeacherOutputs
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

    def held_out(self, stage: Stage) -> "HeldOut":
        """The examples that score the stage's candidates."""
        return HeldOut(self.task, self.train.take(self._split(stage)[0]))

    def count_held_out(self, stage: Stage) -> int:
        """How many they are."""
        return len(self._split(stage)[0])

    def phases(self, stage: Stage, batches_of=TrainingBatches, evaluate=None) -> list[Phase]:
        """The stage's trainings; all of its candidates see the same batches.

        Args:
            batches_of: (examples, batch size, seed) -> batches.
            evaluate: see `Phase`, on the task.
        """
        gc.collect()  # an earlier stage's examples, with what the teacher says of them
        training, phases = stage.training, []
        trainings = 1 if stage.shares_weights else math.ceil(stage.candidates / self.group_size)

        def batches(name: str, examples, teacher: TeacherPass | PredictionsAlone, epochs: float):
            taught = teacher.recorded(
                examples,
                epochs * trainings,
                self.objective.real_tokens_only,
                self.teacher_memory_gb,
            )
            return batches_of(taught, training.batch_size, seed_of(self.seed, "batches", name))

        if training.text_share and training.text_epochs:
            phases.append(
                Phase(
                    name="text",
                    teacher=self.text_teacher,
                    batches=batches(
                        "text",
                        self._text(training.text_share),
                        self.text_teacher,
                        training.text_epochs,
                    ),
                    epochs=training.text_epochs,
                    learning_rate=training.text_learning_rate,
                    scales=(1.0, 0.0),
                )
            )
        trained_on = self._split(stage)[1]
        used = trained_on[: max(1, round(training.task_share * len(trained_on)))]
        phases.append(
            Phase(
                name="task",
                teacher=self.task_teacher,
                batches=batches(
                    "task", self.taught.take(used), self.task_teacher, training.task_epochs
                ),
                epochs=training.task_epochs,
                learning_rate=training.task_learning_rate,
                scales=(float(self.task_teacher.says_hidden), 1.0),
                evaluate=evaluate,
            )
        )
        return phases

    def _split(self, stage: Stage) -> tuple[np.ndarray, np.ndarray]:
        """The training set's indices in random order: those held out, and the others."""
        order = np.random.default_rng(self.seed).permutation(len(self.train))
        count = min(max(1, round(stage.held_out * len(order))), len(order) - 1)
        return order[:count], order[count:]

    def _text(self, share: float) -> EncodedExamples:
        text, count = self.text, max(1, round(share * len(self.text)))
        if count < len(text):
            chosen = np.random.default_rng(self.seed).permutation(len(text))[:count]
            text = text.take(chosen)
        # The graph of a step takes labels where the loss reads them, text or not.
        return dataclasses.replace(text, labels=self.task.blank_labels(count))


class HeldOut:
    """Examples that score candidates, as batches that lie ready."""

    def __init__(self, task: LabelledTask, examples: EncodedExamples):
        self._task, self._labels = task, examples.labels
        self._batches = [
            (indices, {name: tf.constant(batch[name]) for name in MODEL_INPUTS})
            for indices, batch in evaluation_batches(examples, _SCORING_BATCH)
        ]

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def metric(self) -> str:
        """What `score` gives first."""
        return self._task.metrics[0]

    def score(self, learner: Learner, choices=None) -> tuple[float, float]:
        """(the task's first metric, mean loss) of what a network answers now.

        Where its answers are no finite numbers, neither are these.

        Args:
            choices: int32 [layers, 2] or None, see `EfficientBert.call`.
        """
        parts = [np.zeros(0, np.float32)] * len(self)
        chosen = {} if choices is None else {"choices": choices}
        for indices, inputs in self._batches:
            answered = learner.logits({**inputs, **chosen}).numpy()
            for index, row in zip(indices, answered, strict=True):
                parts[index] = row
        logits = np.stack(parts)
        if not np.isfinite(logits).all():
            return math.nan, math.nan
        task = self._task.fitted(logits, self._labels)
        value = float(task.score(logits, self._labels)[self.metric])
        loss = self._task.held_out_loss(logits, self._labels)
        return (value, loss) if math.isfinite(value) and math.isfinite(loss) else (math.nan,) * 2
