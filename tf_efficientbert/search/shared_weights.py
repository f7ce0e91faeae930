"""Scores candidates as slices of one supernet: stage 3."""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tf_efficientbert.architecture import Architecture, CellSpec
from tf_efficientbert.architecture.expression import RATIO_DENOMINATORS, STACKS, width_error
from tf_efficientbert.data.batching import EncodedExamples, TrainingBatches
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.task_model import TaskModel
from tf_efficientbert.search.context import SearchContext
from tf_efficientbert.search.evaluator import NOT_FINITE, Evaluator, Outcome, thinned
from tf_efficientbert.search.group import OUT_OF_MEMORY_ERRORS, out_of_memory_reason, train_group
from tf_efficientbert.search.held_out import HeldOut
from tf_efficientbert.search.phases import training_phases
from tf_efficientbert.search.seeds import seed_of
from tf_efficientbert.search.space import Space, draw_within
from tf_efficientbert.search.stages import Stage

__all__ = ["SharedWeights", "choices_of"]


class SharedWeights(Evaluator):
    """Stage 3: candidates are slices of one supernet; each step trains a random candidate.

    The supernet has the best formulas so far, each at the largest stack and ratio, and inherits
    the warmed-up weights. The stack and ratio of a layer are tensors, so that one graph serves all
    candidates.

    Args:
        best: the architecture whose formulas are used.
        space: the training draws its random candidates from it.
        folder, on_checkpoint: see `TrainedAlone`.

    Raises:
        UserError: the training diverged or ran out of memory.
    """

    def __init__(
        self,
        context: SearchContext,
        stage: Stage,
        best: Architecture,
        space: Space,
        folder: Path,
        on_checkpoint: Callable[[], None] = lambda: None,
    ):
        self._held_out = HeldOut(context.task, context.examples.held_out(stage.held_out))
        seed = seed_of(context.seed, stage.name)
        keras.utils.set_random_seed(seed)

        def batches_of(examples: EncodedExamples, batch_size: int, batch_seed: int):
            return _ChoosingBatches(examples, batch_size, batch_seed, space)

        try:
            self._learner = context.learner(_widest(best), seed, chooses=True)
        except OUT_OF_MEMORY_ERRORS as error:
            raise UserError(f"{stage.name}: the supernet: {out_of_memory_reason(error)}") from error
        phases = training_phases(context, stage, batches_of)
        self._phases = [[phase.name, phase.steps] for phase in phases]
        self._history = train_group(
            learners={0: self._learner},
            phases=phases,
            folder=folder,
            name=stage.name,
            checkpoint_seconds=context.checkpoint_seconds,
            on_checkpoint=on_checkpoint,
        )
        if self._learner.failure:
            raise UserError(
                f"{stage.name}: the training of the shared supernet failed: "
                f"{self._learner.failure}. Start again to resume from its last checkpoint; if that "
                "does not help, use another --output_dir and --stages with a smaller batch_size or "
                "learning rate"
            )

    @property
    def model(self) -> TaskModel:
        """The trained supernet."""
        self._learner.weights.write_back()
        return self._learner.model

    @property
    def traces(self) -> int:
        """Number of graphs traced so far."""
        return self._learner.traces

    @property
    def notes(self) -> dict:
        """{"training": a sample of [{"step", "loss"}], "phases": [[name, steps]],
        "training_seconds": float}."""
        kept = thinned(range(len(self._history)))
        return {
            "training": [{"step": i + 1, "loss": self._history[i]["loss"]} for i in kept],
            "phases": self._phases,
            "training_seconds": sum(record["seconds"] for record in self._history),
        }

    def evaluate(self, group: Mapping[int, Architecture]) -> dict[int, Outcome]:
        return {index: self._evaluate(architecture) for index, architecture in group.items()}

    def _evaluate(self, architecture: Architecture) -> Outcome:
        started = time.monotonic()
        choices = tf.constant(choices_of(architecture))
        try:
            value, loss = self._held_out.score(self._learner, choices)
        except OUT_OF_MEMORY_ERRORS as error:
            return Outcome(reason=out_of_memory_reason(error), seconds=time.monotonic() - started)
        seconds = time.monotonic() - started
        if not math.isfinite(value):
            return Outcome(reason=NOT_FINITE, seconds=seconds)
        return Outcome(score=value, loss=loss, seconds=seconds)


def choices_of(architecture: Architecture) -> np.ndarray:
    """Returns int32 [layers, 2]: stack and denominator of the ratio of each layer."""
    return np.array([[c.stack, c.ratio.denominator] for c in architecture.cells], np.int32)


class _ChoosingBatches:
    """Training batches, each with a random candidate of `space` under "choices"."""

    def __init__(self, examples: EncodedExamples, batch_size: int, seed: int, space: Space):
        self._batches = TrainingBatches(examples, batch_size, seed)
        self._seed, self._space = seed, space
        self.steps_per_epoch = self._batches.steps_per_epoch

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        candidate = draw_within(self._space, f"{self._seed}/{step}")
        return {**self._batches[step], "choices": choices_of(candidate)}


def _widest(best: Architecture) -> Architecture:
    """Returns the formulas of `best` with the largest stack and the largest ratio that fits."""
    widths = best.channel_mismatch, best.hidden_size, best.ffn_width
    cells = []
    for cell in best.cells:
        ratios = (Fraction(1, denominator) for denominator in RATIO_DENOMINATORS)
        sizes = (CellSpec(cell.formula, max(STACKS), ratio) for ratio in ratios)
        cells.append(next(c for c in sizes if not width_error(c.expression, *widths)))
    return dataclasses.replace(best, cells=tuple(cells))
