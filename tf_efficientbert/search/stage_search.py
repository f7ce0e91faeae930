"""Runs one stage: asks the sampler for candidates, evaluates, saves and reports them."""

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Mapping

from tqdm import tqdm

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.errors import UserError
from tf_efficientbert.search.budget import Budget
from tf_efficientbert.search.evaluator import Evaluator, Outcome
from tf_efficientbert.search.sampler import ActionSpaceSampler, Sampler, SpaceExhausted
from tf_efficientbert.search.seeds import seed_of
from tf_efficientbert.search.stages import Stage
from tf_efficientbert.search.study import COMPLETE, FAILED, Study, Trial, best_of

__all__ = ["SearchError", "StageSearch"]

_log = logging.getLogger(__name__)

_FAILURES_IN_A_ROW = 3


class SearchError(UserError):
    """The search cannot continue."""


@dataclasses.dataclass(kw_only=True)
class StageSearch:
    """Evaluates a stage's candidates; resumes after those that are in the study already.

    Groups start at multiples of `group_size`, and a group's candidates depend only on the groups
    before it. So a resumed search tries the same candidates, wherever the process was killed.

    Attributes:
        make_evaluator: called when there is a candidate to evaluate.
        budget: counts parameters.
        seed: random seed of the search.
        known: trials of earlier stages with the same training, by canonical architecture; they
            are reused instead of trained again.
    """

    stage: Stage
    sampler: Sampler
    make_evaluator: Callable[[], Evaluator]
    study: Study
    budget: Budget
    group_size: int
    seed: int
    known: Mapping[Architecture, Trial]

    def __post_init__(self) -> None:
        self._trials = {trial.index: trial for trial in self.study.trials(self.stage.name)}
        self._evaluator: Evaluator | None = None
        self._failures_in_a_row = 0

    def run(self) -> Trial:
        """Runs the stage and returns its best trial.

        Raises:
            SearchError: three candidates in a row failed (a new run resumes after them), or all
                candidates failed.
        """
        for start in range(0, self.stage.candidates, self.group_size):
            indices = range(start, min(start + self.group_size, self.stage.candidates))
            exhausted = None
            if any(index not in self._trials for index in indices):
                group, exhausted = self._ask(indices)
                self._note_fits()
                self._evaluate(group)
            self._tell(index for index in indices if index in self._trials)
            if exhausted:
                _log.warning("%s ends after %d: %s", self.stage.name, len(self._trials), exhausted)
                break
        best = best_of(list(self._trials.values()))
        if best is None and not self._trials:
            raise SearchError(f"{self.stage.name} found no candidate to try: {exhausted}")
        if best is None:
            raise SearchError(self._failure("every candidate", max(self._trials)))
        self.study.note(self.stage.name, ended=True)
        return best

    def _ask(self, indices: Iterable[int]) -> tuple[dict[int, Architecture], SpaceExhausted | None]:
        group = {}
        for index in indices:
            try:
                group[index] = self.sampler.ask(index)
            except SpaceExhausted as error:
                return group, error
        return group, None

    def _evaluate(self, group: Mapping[int, Architecture]) -> None:
        known = {index: self.known.get(each.canonical()) for index, each in group.items()}
        # If the process was killed while it saved a group's trials, the whole group is evaluated
        # again, from its last checkpoint, which is complete.
        to_train = {index: each for index, each in group.items() if not known[index]}
        outcomes = {}
        began = time.monotonic()
        if any(index not in self._trials for index in to_train):
            if self._evaluator is None:
                self._evaluator = self.make_evaluator()
                self.study.note(self.stage.name, **self._evaluator.notes)
                began = time.monotonic()
            outcomes = self._evaluator.evaluate(to_train)
        new = [index for index in group if index not in self._trials]
        for index in new:
            self._record(index, group[index], known[index], outcomes.get(index))
        if outcomes:
            self._evaluator.forget()
        if new:
            # The estimate uses the last group only: a stage's first group also traces a graph.
            self._report((time.monotonic() - began) / len(new))

    def _record(
        self, index: int, architecture: Architecture, known: Trial | None, outcome: Outcome | None
    ) -> None:
        own = {
            "index": index,
            "architecture": architecture,
            "parameters": self.budget.parameters(architecture),
            "seed": seed_of(self.seed, self.stage.name, index),
        }
        if known:
            taken_over = {"seconds": 0.0, "losses": (), "reused": True}
            trial = dataclasses.replace(known, **own, **taken_over)
        else:
            state = FAILED if outcome.score is None else COMPLETE
            values = {f.name: getattr(outcome, f.name) for f in dataclasses.fields(outcome)}
            trial = Trial(**own, state=state, **values)
        self.study.add(self.stage.name, trial)
        self._trials[index] = trial

    def _tell(self, indices: Iterable[int]) -> None:
        for index in indices:
            trial = self._trials[index]
            self.sampler.tell(index, trial.architecture, trial.score)
            failed = trial.state == FAILED
            self._failures_in_a_row = self._failures_in_a_row + 1 if failed else 0
            if self._failures_in_a_row == _FAILURES_IN_A_ROW:
                self._failures_in_a_row = 0
                self._stop(index)

    def _stop(self, index: int) -> None:
        """Raises SearchError, but only once at each index, so that a new run can continue."""
        stops = self.study.notes(self.stage.name).get("stops", [])
        if index in stops:
            return
        self.study.note(self.stage.name, stops=[*stops, index])
        raise SearchError(
            f"{self._failure(f'{_FAILURES_IN_A_ROW} candidates in a row', index)} "
            "If the cause was temporary, start again to resume with the next candidate"
        )

    def _note_fits(self) -> None:
        """Saves in the study which fits of the action space `ask` has made."""
        if not isinstance(self.sampler, ActionSpaceSampler):
            return
        earlier = self.study.notes(self.stage.name).get("fits", [])
        # A resumed process repeats the fits of an earlier one; keep the notes of the earlier one.
        noted = {fit.candidates: dataclasses.asdict(fit) for fit in self.sampler.fits}
        noted |= {fit["candidates"]: fit for fit in earlier}
        self.study.note(self.stage.name, fits=[noted[count] for count in sorted(noted)])

    def _failure(self, subject: str, index: int) -> str:
        reason = self._trials[index].reason
        return (
            f"{self.stage.name}: {subject} failed; the last one, number {index}: {reason}. "
            f"All are in {self.study.path}; to use other flags, take another --output_dir."
        )

    def _report(self, seconds_each: float) -> None:
        done, best = len(self._trials), best_of(list(self._trials.values()))
        left = seconds_each * (self.stage.candidates - done)
        _log.info(
            "%s | %d of %d candidates | best: %s | %s left in this stage",
            self.stage.name,
            done,
            self.stage.candidates,
            f"{best.score:.4f} (number {best.index}, {best.parameters:,} parameters)"
            if best
            else "none yet",
            tqdm.format_interval(left),
        )
