"""Runs the stages of a search in order."""

import dataclasses
import json

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.search.budget import Budget
from tf_efficientbert.search.context import SearchContext
from tf_efficientbert.search.evaluator import Evaluator
from tf_efficientbert.search.examples import HELD_OUT_BY
from tf_efficientbert.search.sampler import (
    ActionSpaceSampler,
    EvolutionSampler,
    RandomSampler,
    Sampler,
)
from tf_efficientbert.search.seeds import seed_of
from tf_efficientbert.search.shared_weights import SharedWeights
from tf_efficientbert.search.space import FormulaSpace, JointSpace, SizeSpace, Space
from tf_efficientbert.search.stage_budgets import check_space, stage_budget
from tf_efficientbert.search.stage_search import StageSearch
from tf_efficientbert.search.stages import Stage
from tf_efficientbert.search.study import Study, Trial, best_of
from tf_efficientbert.search.trained_alone import TrainedAlone
from tf_efficientbert.training.run_directory import RunDirectory

__all__ = ["StageSequence"]


@dataclasses.dataclass(kw_only=True)
class StageSequence:
    """Runs the stages in one study; each starts from the best candidate of the previous one.

    Attributes:
        sampler: one of `SAMPLERS`.
        budget: for stages that do not set their own bounds.
        context: shared by all stages; the weight-sharing stage replaces its supernet.
        shared_supernet: the supernet from which the weight-sharing stage starts.
        tokenizer: for the model that the weight-sharing stage saves.
    """

    stages: tuple[Stage, ...]
    sampler: str
    budget: Budget
    context: SearchContext
    shared_supernet: EfficientBert
    tokenizer: Tokenizer
    study: Study
    run_directory: RunDirectory

    @property
    def metric(self) -> str:
        return self.context.task.metrics[0]

    @property
    def counts(self) -> dict[str, int]:
        return {name: len(self.study.trials(name)) for name in self.study.stages}

    def run(self, from_stage: int, to_stage: int) -> Trial:
        """Runs these stages, counted from 1, and returns the best trial of the last one.

        Raises:
            UserError: a stage before `from_stage` is not finished.
        """
        best = None
        for number, stage in enumerate(self.stages[:to_stage], start=1):
            if number >= from_stage:
                best = self._run_stage(stage, best.architecture if best else None)
            else:
                best = self._finished(stage, f"--from_stage={from_stage}: stage {number}")
        return best

    def _finished(self, stage: Stage, where: str) -> Trial:
        self._check_recipe(stage)
        trials = self.study.trials(stage.name)
        best = best_of(trials)
        if not self._has_ended(stage):
            raise UserError(
                f"{where} has {len(trials)} of {stage.candidates} candidates in "
                f"{self.study.path}; run it first"
            )
        if not best:
            raise UserError(
                f"{where} has no candidate with a score in {self.study.path}; use another "
                "--output_dir"
            )
        return best

    def _has_ended(self, stage: Stage) -> bool:
        count = len(self.study.trials(stage.name))
        # The process may have been killed after the last candidate, before it noted the end.
        return bool(count) and (
            count == stage.candidates or self.study.notes(stage.name).get("ended", False)
        )

    def _run_stage(self, stage: Stage, best: Architecture | None) -> Trial:
        space = self._space(stage, best)
        sampler = self._sampler(stage, space)
        self._check_recipe(stage)
        self._check_split(stage)
        self.study.begin(stage.name)
        self.study.note(
            stage.name,
            # Before the recipe: a stage with a recipe alone is an earlier version's.
            **self._split_notes(stage),
            recipe=_described(stage),
            metric=self.metric,
            planned=stage.candidates,
            sampler=self.sampler,
        )
        return StageSearch(
            stage=stage,
            sampler=sampler,
            make_evaluator=lambda: self._evaluator(stage, space, best),
            study=self.study,
            budget=self.budget,
            group_size=self.context.group_size,
            seed=self.context.seed,
            known=self._known(stage),
        ).run()

    def _check_recipe(self, stage: Stage) -> None:
        """Raises UserError if a stage of this name was started with other values."""
        if stage.name not in self.study.stages:
            return
        now = _described(stage)
        begun = self.study.notes(stage.name).get("recipe", now)
        differences = [
            f"{key} was {begun.get(key)!r} and is now {now.get(key)!r}"
            for key in sorted({*begun, *now})
            if begun.get(key) != now.get(key)
        ]
        if differences:
            raise UserError(
                f"{self.study.path}: stage {stage.name} was started with other values: "
                f"{'; '.join(differences)}; use another --output_dir"
            )

    def _check_split(self, stage: Stage) -> None:
        """Raises UserError if an earlier version trained or scored on other examples."""
        begun = stage.name in self.study.stages and "recipe" in self.study.notes(stage.name)
        if begun and not (self._has_ended(stage) or self._has_this_split(stage)):
            raise UserError(
                f"{self.study.path}: an earlier version began stage {stage.name} with other "
                "held-out examples; use another --output_dir"
            )

    def _split_notes(self, stage: Stage) -> dict:
        """Returns what the study notes about the held-out examples; those of a stage that an
        earlier version ended stay."""
        if self._has_ended(stage) and not self._has_this_split(stage):
            return {}
        count = self.context.examples.count_held_out(stage.held_out)
        return {"held_out_by": HELD_OUT_BY, "validation_examples": count}

    def _has_this_split(self, stage: Stage) -> bool:
        return self.study.notes(stage.name).get("held_out_by") == HELD_OUT_BY

    def _space(self, stage: Stage, best: Architecture | None) -> Space:
        if stage.searched == ("formula",):
            return FormulaSpace(best)
        budget = stage_budget(stage, self.budget)
        if "formula" in stage.searched:
            return JointSpace(self.context.supernet.architecture, budget)
        space = SizeSpace(best, budget)
        # The chosen formulas may fit fewer ratios.
        check_space(stage, budget, space)
        return space

    def _sampler(self, stage: Stage, space: Space) -> Sampler:
        seed = seed_of(self.context.seed, stage.name, "sampler")
        if self.sampler == "random":
            return RandomSampler(space, seed, stage.max_draws)
        if self.sampler == "evolution":
            return EvolutionSampler(
                space, seed, start=stage.random_candidates, max_draws=stage.max_draws
            )
        return ActionSpaceSampler(
            space,
            seed,
            start=stage.random_candidates,
            every=stage.refit_every,
            exploration=stage.exploration,
            tuning_rounds=stage.tuning_rounds,
            max_draws=stage.max_draws,
        )

    def _evaluator(self, stage: Stage, space: Space, best: Architecture | None) -> Evaluator:
        folder = self.run_directory.checkpoints / stage.name
        if not stage.shares_weights:
            return TrainedAlone(self.context, stage, folder, self.run_directory.save_clock)
        context = dataclasses.replace(self.context, supernet=self.shared_supernet)
        shared = SharedWeights(context, stage, best, space, folder, self.run_directory.save_clock)
        # EfficientBERT+ students inherit from it.
        TextModel(
            shared.model,
            self.tokenizer,
            context.task,
            context.examples.train.max_tokens,
        ).save(self.run_directory.path / "shared_supernet")
        return shared

    def _known(self, stage: Stage) -> dict[Architecture, Trial]:
        """Returns trials of earlier stages with the same training and held-out examples."""
        known = {}
        for earlier in self.stages[: self.stages.index(stage)]:
            alike = (earlier.training, earlier.held_out) == (stage.training, stage.held_out)
            alone = not (earlier.shares_weights or stage.shares_weights)
            if alike and alone and self._has_this_split(earlier):
                trials = self.study.trials(earlier.name)
                known |= {trial.architecture.canonical(): trial for trial in trials}
        return known


def _described(stage: Stage) -> dict:
    """Returns a stage as JSON values, without defaults, so that older studies stay comparable."""
    at_default = {f.name for f in dataclasses.fields(stage) if getattr(stage, f.name) == f.default}
    values = dataclasses.asdict(stage)
    return json.loads(json.dumps({k: v for k, v in values.items() if k not in at_default}))
