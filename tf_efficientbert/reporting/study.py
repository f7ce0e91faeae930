"""Reads the search part of a report. Missing or invalid numbers become None."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.reporting.formats import finite


@dataclass(frozen=True)
class Candidate:
    """An architecture that a stage tried; `score` is None without one (yet)."""

    index: int
    score: float | None
    parameters: float | None
    state: str
    seconds: float | None
    reason: str
    reused: bool
    described: Any
    losses: tuple[float | None, ...]

    @property
    def formulas(self) -> tuple[str, ...]:
        """Each layer's cell in the paper's text form, as in the report."""
        given = self.described.get("formulas") if isinstance(self.described, dict) else None
        return tuple(map(str, given or ()))

    @property
    def failed(self) -> bool:
        """Whether its training or scoring failed; a bad score is not a failure."""
        return self.state == "failed"


@dataclass(frozen=True)
class ReportedFit:
    """A fit of the action space to so many `candidates`, first used for candidate `index`."""

    index: int
    candidates: int
    depth: int | None


@dataclass(frozen=True)
class ReportedStage:
    """A stage of the search, with its candidates in order. Higher scores are better.

    Attributes:
        best_index: the best candidate according to the report, or None.
        training: records of the training that candidates share.
        phases: names and steps of the parts of that training.
    """

    name: str
    metric: str
    planned: int | None
    examples: float | None
    sampler: str
    fits: tuple[ReportedFit, ...]
    best_index: int | None
    training: Sequence[Any]
    phases: tuple[tuple[str, int], ...]
    ended: bool
    training_seconds: float | None
    candidates: tuple[Candidate, ...]

    @cached_property
    def scored(self) -> tuple[Candidate, ...]:
        """The candidates with a score, without failed ones."""
        return tuple(c for c in self.candidates if c.score is not None and not c.failed)

    @cached_property
    def best(self) -> Candidate | None:
        """The best candidate according to the report, or else the first with the highest score."""
        named = next((c for c in self.scored if c.index == self.best_index), None)
        return named or max(self.scored, key=lambda c: c.score, default=None)

    @property
    def seconds(self) -> float | None:
        """Seconds spent on this stage's candidates and on the training they share.

        Candidates reused from an earlier stage do not count.
        """
        known = [c.seconds for c in self.candidates if c.seconds is not None and not c.reused]
        known += [self.training_seconds] if self.training_seconds else []
        return sum(known) if known else None

    @property
    def shared_trainings(self) -> dict[str, list[dict]]:
        """The records of each part of the shared training, with steps counted from its start."""
        records = [record for record in self.training if isinstance(record, dict)]
        parts, start = {}, 0
        for name, steps in self.phases or (("training", 0),):
            end = start + steps if steps else math.inf
            parts[name] = [
                {**record, "step": step - start}
                for record in records
                if (step := finite(record.get("step"))) is not None and start < step <= end
            ]
            start = end
        return parts

    def error(self, score: float | None) -> float | None:
        """Returns the standard error sqrt(p(1-p)/n) of an accuracy p on n examples, else None."""
        if self.metric != "accuracy" or not self.examples or score is None or not 0 <= score <= 1:
            return None
        return math.sqrt(score * (1 - score) / self.examples)


def reported_stages(report: dict) -> list[ReportedStage]:
    """Returns the stages of a report's search in order; empty if it has not begun."""
    return [_stage(part) for part in ((report.get("search") or {}).get("stages") or ())]


def read_architecture(described: Any) -> Architecture | None:
    """Returns the architecture that a report describes, or None if it cannot be read."""
    if not described:
        return None
    try:
        return Architecture.from_json(json.dumps(described))
    except (ValueError, TypeError):
        return None


def best_scored(stages: Sequence[ReportedStage]) -> tuple[ReportedStage, Candidate] | None:
    """Returns the search's result so far: the last stage with a best candidate, and that one."""
    return next(((stage, stage.best) for stage in reversed(stages) if stage.best), None)


def _stage(part: dict) -> ReportedStage:
    examples = finite(part.get("validation_examples"))
    return ReportedStage(
        name=str(part.get("name") or "stage"),
        metric=str(part.get("metric") or "score"),
        planned=_whole(part.get("planned")),
        examples=examples if examples and examples > 0 else None,
        sampler=str(part.get("sampler") or ""),
        fits=tuple(fit for given in (part.get("fits") or ()) if (fit := _fit(given))),
        best_index=_whole(part.get("best")),
        training=part.get("training") or (),
        phases=tuple((str(name), _whole(steps) or 0) for name, steps in part.get("phases") or ()),
        ended=bool(part.get("ended")),
        training_seconds=finite(part.get("training_seconds")),
        candidates=tuple(
            _candidate(given, position)
            for position, given in enumerate(part.get("candidates") or ())
        ),
    )


def _fit(given: dict) -> ReportedFit | None:
    candidates, index = _whole(given.get("candidates")), _whole(given.get("index"))
    if candidates is None:
        return None
    return ReportedFit(
        index=candidates if index is None else index,  # as without groups
        candidates=candidates,
        depth=_whole(given.get("depth")),
    )


def _candidate(given: dict, position: int) -> Candidate:
    index, score = _whole(given.get("index")), finite(given.get("score"))
    return Candidate(
        index=position if index is None else index,
        score=score,
        parameters=finite(given.get("parameters")),
        state=str(given.get("state") or ("complete" if score is not None else "unknown")),
        seconds=finite(given.get("seconds")),
        reason=str(given.get("reason") or ""),
        reused=bool(given.get("reused")),
        described=given.get("architecture"),
        losses=tuple(map(finite, given.get("losses") or ())),
    )


def _whole(value: Any) -> int | None:
    number = finite(value)
    return None if number is None else int(number)
