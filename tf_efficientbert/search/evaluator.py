"""Scores groups of candidates, by training each of them or by slicing a shared supernet."""

import dataclasses
import gc
import math
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tf_efficientbert.architecture import Architecture, CellSpec
from tf_efficientbert.architecture.expression import RATIO_DENOMINATORS, STACKS, width_error
from tf_efficientbert.data.batching import EncodedExamples, TrainingBatches
from tf_efficientbert.errors import UserError, first_line
from tf_efficientbert.models.task_model import TaskModel
from tf_efficientbert.search.context import SearchContext
from tf_efficientbert.search.group import (
    OUT_OF_MEMORY,
    OUT_OF_MEMORY_ERRORS,
    out_of_memory_reason,
    side_by_side,
    train_group,
)
from tf_efficientbert.search.held_out import HeldOut
from tf_efficientbert.search.learner import Learner
from tf_efficientbert.search.oom_guard import OomGuard
from tf_efficientbert.search.phases import training_phases
from tf_efficientbert.search.seeds import seed_of
from tf_efficientbert.search.space import Space, draw_within
from tf_efficientbert.search.stages import Stage

__all__ = ["Evaluator", "Outcome", "SharedWeights", "TrainedAlone", "choices_of"]

_LOSSES_KEPT = 100
_NOT_FINITE = "its logits on the held-out examples, or their score, are not finite"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """Result of evaluating a candidate; the fields are those of `study.Trial`."""

    score: float | None = None
    loss: float | None = None
    reason: str = ""
    seconds: float = 0.0
    losses: tuple[float, ...] = ()

    @classmethod
    def of_training(
        cls, index: int, history: Sequence[Mapping[str, float]], seconds: float, reason: str
    ) -> "Outcome":
        """Returns the outcome of a candidate's best epoch: highest score, then lowest loss.

        Args:
            index: the candidate's key in `history`.
            history: see `group.train_group`.
            reason: why the candidate failed, "" if it did not.
        """
        key = f"loss_{index}"
        losses = tuple(_thinned([record[key] for record in history if key in record]))
        epochs = [
            (record[f"score_{index}"], record[f"held_out_loss_{index}"])
            for record in history
            if f"score_{index}" in record
        ]
        if reason or not epochs:
            return cls(reason=reason or _NOT_FINITE, seconds=seconds, losses=losses)
        score, loss = max(epochs, key=lambda epoch: (epoch[0], -epoch[1]))
        return cls(score=score, loss=loss, seconds=seconds, losses=losses)


class Evaluator(ABC):
    """Scores candidates; a score depends only on the candidate and its index."""

    @abstractmethod
    def evaluate(self, group: Mapping[int, Architecture]) -> dict[int, Outcome]:
        """Returns each candidate's outcome by index; an interrupted evaluation resumes."""

    def forget(self) -> None:  # noqa: B027  not all evaluators keep checkpoints
        """Deletes checkpoints; called when all outcomes so far are saved."""

    @property
    def notes(self) -> dict:
        """JSON values about the training that all candidates share; {} if there is none."""
        return {}


class TrainedAlone(Evaluator):
    """Stages 1 and 2: each candidate inherits from the supernet and is trained briefly.

    The candidates of a group train side by side and share one teacher pass per batch (see `group`).

    Args:
        folder: for the checkpoints of the current group.
        on_checkpoint: called after each checkpoint.
    """

    def __init__(
        self,
        context: SearchContext,
        stage: Stage,
        folder: Path,
        on_checkpoint: Callable[[], None] = lambda: None,
    ):
        self._context, self._stage = context, stage
        self._folder, self._on_checkpoint = folder, on_checkpoint
        self._held_out = HeldOut(context.task, context.examples.held_out(stage.held_out))
        self._phases = training_phases(context, stage, evaluate=self._scores)

    def evaluate(self, group: Mapping[int, Architecture]) -> dict[int, Outcome]:
        outcomes = self._train(group)
        if len(group) > 1:
            # The candidate alone may fit into memory although the group did not.
            failed = [i for i, each in outcomes.items() if each.reason.startswith(OUT_OF_MEMORY)]
            for index in failed:
                outcomes |= self._train({index: group[index]})
        return outcomes

    def _train(self, group: Mapping[int, Architecture]) -> dict[int, Outcome]:
        guard = OomGuard(self._folder / f"training-{'-'.join(map(str, group))}.json")
        if guard.was_killed():
            reason = f"{OUT_OF_MEMORY}: the kernel killed the process that trained it"
            return dict.fromkeys(group, Outcome(reason=reason))
        with guard:
            return self._trained(group)

    def _trained(self, group: Mapping[int, Architecture]) -> dict[int, Outcome]:
        gc.collect()  # frees earlier networks: their graphs are reference cycles that hold weights
        learners, reasons = self._learners(group)
        history = []
        if learners:
            members = "-".join(map(str, learners))
            history = train_group(
                learners=learners,
                phases=self._phases,
                # The name lists the candidates that the checkpoints contain.
                folder=self._folder / f"candidates-{members}",
                name=f"{self._stage.name} {', '.join(map(str, learners))}",
                checkpoint_seconds=self._context.checkpoint_seconds,
                on_checkpoint=self._on_checkpoint,
            )
        reasons |= {index: learner.failure for index, learner in learners.items()}
        seconds = sum(record["seconds"] for record in history) / len(group)
        return {
            index: Outcome.of_training(index, history, seconds, reasons[index]) for index in group
        }

    def forget(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _learners(self, group) -> tuple[dict[int, Learner], dict[int, str]]:
        """Returns the networks and, for those that cannot be built, the reason."""
        context, learners, reasons = self._context, {}, {}
        for index, architecture in group.items():
            seed = seed_of(context.seed, self._stage.name, index)
            keras.utils.set_random_seed(seed)
            try:
                learners[index] = context.learner(architecture, seed)
            except OUT_OF_MEMORY_ERRORS as error:
                reasons[index] = out_of_memory_reason(error)
            except ValueError as error:  # widths don't fit, or larger than the supernet
                reasons[index] = f"cannot be built: {first_line(error)}"
        return learners, reasons

    def _scores(self, learners: Mapping[int, Learner]) -> dict[str, float]:
        figures = {}
        for index, (value, loss) in side_by_side(learners, self._held_out.score).items():
            if math.isfinite(value):
                figures |= {f"score_{index}": value, f"held_out_loss_{index}": loss}
        return figures


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
        kept = _thinned(range(len(self._history)))
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
            return Outcome(reason=_NOT_FINITE, seconds=seconds)
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


def _thinned(records: Sequence) -> list:
    """Returns at most `_LOSSES_KEPT` records, evenly spaced, with the first and the last."""
    kept = np.linspace(0, len(records) - 1, min(len(records), _LOSSES_KEPT)).astype(int)
    return [records[i] for i in kept]
