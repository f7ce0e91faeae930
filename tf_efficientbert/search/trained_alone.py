"""Scores candidates by training each of them: stages 1 and 2."""

import gc
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import keras

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.errors import first_line
from tf_efficientbert.search.context import SearchContext
from tf_efficientbert.search.evaluator import Evaluator, Outcome
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
from tf_efficientbert.search.stages import Stage

__all__ = ["TrainedAlone"]


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
        outcomes = self._train_unless_killed(group)
        if len(group) > 1:
            # The candidate alone may fit into memory although the group did not.
            failed = [i for i, each in outcomes.items() if each.reason.startswith(OUT_OF_MEMORY)]
            for index in failed:
                outcomes |= self._train_unless_killed({index: group[index]})
        return outcomes

    def _train_unless_killed(self, group: Mapping[int, Architecture]) -> dict[int, Outcome]:
        guard = OomGuard(self._folder / f"training-{'-'.join(map(str, group))}.json")
        # Another process may have been out of memory when this one was killed for another reason.
        # That does no harm to a group; a candidate alone fails only at the second time.
        if guard.kills >= (1 if len(group) > 1 else 2):
            reason = f"{OUT_OF_MEMORY}: the kernel killed the process that trained it"
            return dict.fromkeys(group, Outcome(reason=reason))
        with guard:
            return self._train(group)

    def _train(self, group: Mapping[int, Architecture]) -> dict[int, Outcome]:
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
