"""The interface of what scores candidates, and what it returns."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from tf_efficientbert.architecture import Architecture

__all__ = ["NOT_FINITE", "Evaluator", "Outcome", "thinned"]

_LOSSES_KEPT = 100
NOT_FINITE = "its logits on the held-out examples, or their score, are not finite"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """Result of evaluating a candidate; its fields have the same names in `study.Trial`."""

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
        losses = tuple(thinned([record[key] for record in history if key in record]))
        epochs = [
            (record[f"score_{index}"], record[f"held_out_loss_{index}"])
            for record in history
            if f"score_{index}" in record
        ]
        if reason or not epochs:
            return cls(reason=reason or NOT_FINITE, seconds=seconds, losses=losses)
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


def thinned(records: Sequence) -> list:
    """Returns at most `_LOSSES_KEPT` records, evenly spaced, with the first and the last."""
    kept = np.linspace(0, len(records) - 1, min(len(records), _LOSSES_KEPT)).astype(int)
    return [records[i] for i in kept]
