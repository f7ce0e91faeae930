"""The three-stage search: each stage starts from what the one before found."""

import dataclasses
import json
import logging

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.data.batching import encode
from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.distillation.distiller import check_text_teacher
from tf_efficientbert.distillation.given_predictions import with_predictions
from tf_efficientbert.distillation.objective import Objective
from tf_efficientbert.distillation.task_teacher import (
    TaskTeacherOptions,
    check_width,
    load_task_teacher,
)
from tf_efficientbert.distillation.teacher_pass import PredictionsAlone, TeacherPass
from tf_efficientbert.distillation.warm_up import CorpusOptions, usable_attention_ratio
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.models.teacher import find_teacher, load_teacher
from tf_efficientbert.models.text_model import TextModel, load
from tf_efficientbert.options import input_option, option
from tf_efficientbert.search.context import SearchContext, seed_of
from tf_efficientbert.search.engine import StageSearch
from tf_efficientbert.search.evaluator import Evaluator, SharedWeights, TrainedAlone
from tf_efficientbert.search.oom_guard import OomGuard
from tf_efficientbert.search.sampler import ActionSpaceSampler, RandomSampler, Sampler
from tf_efficientbert.search.space import (
    FormulaSpace,
    JointSpace,
    SizeSpace,
    Space,
    SpaceError,
)
from tf_efficientbert.search.stage_budgets import (
    check_budgets,
    check_space,
    search_budget,
    stage_budget,
)
from tf_efficientbert.search.stages import Stage, read_stages
from tf_efficientbert.search.study import STUDY, Study, Trial, best_of
from tf_efficientbert.storage import write_file
from tf_efficientbert.training.options import TrainingOptions, make_deterministic
from tf_efficientbert.training.run_directory import RunDirectory, open_run_directory

__all__ = ["ARCHITECTURE", "SAMPLERS", "SearchOptions", "search"]

_log = logging.getLogger(__name__)

SAMPLERS = ("action-space", "random")
ARCHITECTURE = "architecture.json"  # what the search found


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchOptions(TaskOptions, CorpusOptions, TaskTeacherOptions):
    """What `search` is told."""

    output_dir: str = option("", "output folder; run again with it to resume")
    supernet: str = input_option("", "folder that pretrain_supernet made: …/model")
    shared_supernet: str = input_option(
        "", "a second supernet, where weight-sharing candidates start; empty for --supernet"
    )
    teacher_dir: str = input_option("", "BERT folder that teaches on text; empty for MiniLM")
    stages: str = input_option("paper", "paper, quick, or a JSON file of three stages")
    from_stage: int = option(1, "first stage to run (1 to 3); earlier ones must be finished")
    to_stage: int = option(3, "last stage to run")
    sampler: str = option("action-space", "action-space (learned) or random")
    group_size: int = option(4, "candidates trained together, sharing the teacher's outputs")
    min_parameters: int = option(
        0, "fewest parameters of a candidate; 0: 15/16 of --max_parameters"
    )
    max_parameters: int = option(
        0, "most parameters, without the task head; 0: as many as the plain student"
    )
    attention_ratio: float = option(1.0, "weight of the attention loss; 0: none")
    real_tokens_only: bool = option(False, "leave padding out of hidden and attention losses")
    sum_over_classes: bool = option(False, "sum the prediction loss over classes")
    dropout: float = option(0.1, "dropout rate")
    seed: int = option(0, "random seed")
    bfloat16: bool = option(False, "compute in bfloat16, keep weights in float32")
    checkpoint_seconds: float = option(20.0, "seconds between checkpoints")

    def __post_init__(self) -> None:
        TaskOptions.__post_init__(self)
        TaskTeacherOptions.__post_init__(self)
        if not self.supernet:
            raise UserError("--supernet is missing: name the folder of a saved model")
        if not 1 <= self.from_stage <= self.to_stage <= 3:
            raise UserError(
                f"--from_stage={self.from_stage}, --to_stage={self.to_stage}: expected stages from "
                "1 to 3, the first no later than the last"
            )
        if self.sampler not in SAMPLERS:
            raise UserError(f"--sampler={self.sampler}: expected one of {', '.join(SAMPLERS)}")
        if self.group_size < 1:
            raise UserError(f"--group_size={self.group_size}: expected 1 or more")
        for name in ("min_parameters", "max_parameters", "attention_ratio"):
            if not getattr(self, name) >= 0:
                raise UserError(f"--{name}={getattr(self, name)}: expected 0 or more")
        self.training  # noqa: B018  checks seed, dropout and checkpoint_seconds
        read_stages(self.stages)

    @property
    def training(self) -> TrainingOptions:
        """What candidates are trained with, whichever stage they belong to."""
        names = ("dropout", "seed", "bfloat16", "checkpoint_seconds")
        return TrainingOptions(**{name: getattr(self, name) for name in names})


def search(options: SearchOptions) -> dict:
    """Searches the feed-forward cells; after stage 3 writes the best to architecture.json.

    Dong et al. 2021, section 3.4. All candidates and their scores are in `output_dir`/study.journal
    (see `Study`); scores come from a part of the training set that trains no candidate.

    Returns: {"architecture": JSON's view, "parameters": int, "score": float, "metric": str,
        "candidates": {stage: how many}, "seconds": float}, of the last stage that was run. A search
        whose third stage is finished returns what it returned then; an interrupted one goes on.

    Raises:
        SearchError: three candidates in a row failed, or all of a stage; a new run goes on after
            the three.
        UserError: for everything that is wrong with flags or files.
    """
    with open_run_directory(options) as run:
        if run.result:
            return run.result
        guard = OomGuard(run.path / "at-work.json")
        if guard.killed_twice():
            _log.warning(
                "it seems that the kernel has ended this search twice for want of memory; in "
                "another --output_dir a smaller --group_size, --teacher_memory_gb or batch_size of "
                "the stages needs less"
            )
        try:
            with guard:
                searching = _Search(options, run)
                best = searching.run()
        except SpaceError as error:
            raise UserError(f"--stages={options.stages}: too narrow bounds: {error}") from error
        result = {
            "architecture": json.loads(best.architecture.to_json()),
            "parameters": best.parameters,
            "score": best.score,
            "metric": searching.metric,
            "candidates": searching.counts,
        }
        if options.to_stage < 3:
            run.save_clock()
            return {**result, "seconds": run.seconds}
        write_file(run.path / ARCHITECTURE, best.architecture.to_json().encode("utf-8"))
        return run.finish(result)


class _Search:
    """All stages over one study."""

    def __init__(self, options: SearchOptions, run: RunDirectory):
        self._options, self._run = options, run
        self._stages = read_stages(options.stages)
        data = TaskData(options)
        train = data.load("train")  # before anything that takes long
        make_deterministic()
        self._supernet, origin = load(options.supernet), f"--supernet={options.supernet}"
        self._teacher = load_task_teacher(options.teacher, data.task, self._supernet, origin)
        if self._teacher:
            check_width(self._teacher, options.teacher, self._supernet, origin)
        check_text_teacher(options, self._supernet)
        data.show_card(self._supernet.tokenizer)
        self._task = data.task
        if len(train) < 2:
            raise UserError(
                f"{data.task.name}: a search needs 2 training examples, got {len(train)}"
            )
        models = filter(None, (self._teacher, self._supernet))
        longest = min(model.backbone.max_positions for model in models)
        if options.max_tokens > longest:
            raise UserError(
                f"--max_tokens={options.max_tokens} is over the {longest} positions of --teacher "
                "or --supernet"
            )
        self._train = encode(
            self._supernet.tokenizer,
            train.texts,
            train.second_texts,
            train.labels,
            options.max_tokens,
        )
        self._taught = self._train
        if options.teacher_predictions:
            self._taught = with_predictions(
                options.teacher_predictions, self._train, train, data.task
            )
        self._text = options.encoded(self._supernet.tokenizer)
        self._shared = self._load_shared()
        self._context = self._make_context()
        warm = self._supernet.backbone
        sizes = warm.fit_size, warm.vocabulary_size, warm.max_positions
        self._budget = search_budget(options, warm.architecture, sizes)
        check_budgets(options, self._stages, warm.architecture, self._budget)
        journal = run.path / STUDY
        if options.from_stage > 1 and not journal.exists():
            raise UserError(
                f"--from_stage={options.from_stage}: no stage has been run in {run.path} yet"
            )
        self._study = Study(journal)
        if run.has_checkpointed and not self._study.stages:
            raise UserError(
                f"{journal} is empty, but a search was at work here: restore it from a copy, or "
                f"delete {run.path} to start over"
            )

    @property
    def metric(self) -> str:
        return self._task.metrics[0]

    @property
    def counts(self) -> dict[str, int]:
        return {name: len(self._study.trials(name)) for name in self._study.stages}

    def run(self) -> Trial:
        """The best trial of the last stage."""
        best = None
        for number, stage in enumerate(self._stages[: self._options.to_stage], start=1):
            if number >= self._options.from_stage:
                best = self._run_stage(stage, best.architecture if best else None)
            else:
                best = self._finished(number, stage)
        return best

    def _finished(self, number: int, stage: Stage) -> Trial:
        self._check_recipe(stage)
        trials = self._study.trials(stage.name)
        best = best_of(trials)
        # A process may have been killed between the last candidate and the note.
        ended = len(trials) == stage.candidates or (
            trials and self._study.notes(stage.name).get("ended")
        )
        where = f"--from_stage={self._options.from_stage}: stage {number}"
        if not ended:
            raise UserError(
                f"{where} has {len(trials)} of {stage.candidates} candidates in "
                f"{self._study.path}; run it first"
            )
        if not best:
            raise UserError(
                f"{where} has no candidate with a score in {self._study.path}; search in another "
                "--output_dir"
            )
        return best

    def _run_stage(self, stage: Stage, best: Architecture | None) -> Trial:
        space = self._space(stage, best)
        sampler = self._sampler(stage, space)
        self._check_recipe(stage)
        self._study.begin(stage.name)
        self._study.note(
            stage.name,
            recipe=_described(stage),
            metric=self.metric,
            planned=stage.candidates,
            validation_examples=self._context.count_held_out(stage),
            sampler=self._options.sampler,
        )
        return StageSearch(
            stage=stage,
            sampler=sampler,
            make_evaluator=lambda: self._evaluator(stage, space, best),
            study=self._study,
            budget=self._budget,
            group_size=self._options.group_size,
            seed=self._options.seed,
            known=self._known(stage),
        ).run()

    def _check_recipe(self, stage: Stage) -> None:
        """Raises UserError where the stage was begun with other values under the same name."""
        if stage.name not in self._study.stages:
            return
        now = _described(stage)
        begun = self._study.notes(stage.name).get("recipe", now)
        differences = [
            f"{key} was {begun.get(key)!r} and is now {now.get(key)!r}"
            for key in sorted({*begun, *now})
            if begun.get(key) != now.get(key)
        ]
        if differences:
            raise UserError(
                f"{self._study.path}: stage {stage.name} was begun with other values: "
                f"{'; '.join(differences)}; use another --output_dir"
            )

    def _space(self, stage: Stage, best: Architecture | None) -> Space:
        if stage.searched == ("formula",):
            return FormulaSpace(best)
        budget = stage_budget(self._options, stage, self._budget)
        if "formula" in stage.searched:
            return JointSpace(self._supernet.backbone.architecture, budget)
        space = SizeSpace(best, budget)
        # A formula may leave fewer ratios than there were before one was chosen.
        check_space(self._options, stage, budget, space)
        return space

    def _sampler(self, stage: Stage, space: Space) -> Sampler:
        seed = seed_of(self._options.seed, stage.name, "sampler")
        if self._options.sampler == "random":
            return RandomSampler(space, seed, stage.max_draws)
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
        folder = self._run.checkpoints / stage.name
        if not stage.shares_weights:
            return TrainedAlone(self._context, stage, folder, self._run.save_clock)
        context = dataclasses.replace(self._context, supernet=self._shared)
        shared = SharedWeights(context, stage, best, space, folder, self._run.save_clock)
        # EfficientBERT+ starts its trainings on the tasks from it.
        tokenizer, max_tokens = self._supernet.tokenizer, self._options.max_tokens
        warm = TextModel(shared.model, tokenizer, self._task, max_tokens)
        warm.save(self._run.path / "shared_supernet")
        return shared

    def _known(self, stage: Stage) -> dict[Architecture, Trial]:
        """Earlier stages' trials under the same training and the same held-out examples."""
        known = {}
        for earlier in self._stages[: self._stages.index(stage)]:
            alike = (earlier.training, earlier.held_out) == (stage.training, stage.held_out)
            if alike and not (earlier.shares_weights or stage.shares_weights):
                trials = self._study.trials(earlier.name)
                known |= {trial.architecture.canonical(): trial for trial in trials}
        return known

    def _load_shared(self) -> EfficientBert:
        """Where weight sharing starts."""
        options, warm = self._options, self._supernet
        if not options.shared_supernet:
            return warm.backbone
        given = load(options.shared_supernet)
        same = (
            given.tokenizer.vocabulary == warm.tokenizer.vocabulary
            and given.backbone.fit_size == warm.backbone.fit_size
            and given.backbone.architecture == warm.backbone.architecture
        )
        if not same:
            raise UserError(
                f"--shared_supernet={options.shared_supernet} has other sizes or another "
                f"vocabulary than --supernet={options.supernet}"
            )
        return given.backbone

    def _make_context(self) -> SearchContext:
        options = self._options
        folder = find_teacher(options.teacher_dir)
        text_model = load_teacher(folder, dtype=options.training.frozen_dtype).backbone
        warm = self._supernet.backbone
        ratio = usable_attention_ratio(options.attention_ratio, text_model, warm)
        text_teacher = TeacherPass(text_model, bool(ratio), self._task)
        if self._teacher:
            self._check_alike(text_model.architecture, folder)
            model = self._teacher.model.rebuilt(dtype=options.training.frozen_dtype)
            task_teacher = TeacherPass(model, bool(ratio), self._task)
        else:
            task_teacher = PredictionsAlone(text_teacher.specs)
        return SearchContext(
            task=self._task,
            supernet=warm,
            text_teacher=text_teacher,
            task_teacher=task_teacher,
            text=self._text,
            train=self._train,
            taught=self._taught,
            objective=Objective(
                attention_ratio=ratio,
                real_tokens_only=options.real_tokens_only,
                sum_over_classes=options.sum_over_classes,
                task=self._task,
            ),
            dropout=options.dropout,
            dtype=options.training.dtype,
            seed=options.seed,
            checkpoint_seconds=options.checkpoint_seconds,
            teacher_memory_gb=options.teacher_memory_gb,
            group_size=options.group_size,
        )

    def _check_alike(self, text: Architecture, folder) -> None:
        """Raises UserError where the two teachers' outputs don't go into one graph."""
        for name in ("num_layers", "num_heads"):
            ours = getattr(text, name)
            theirs = getattr(self._teacher.backbone.architecture, name)
            if ours != theirs:
                raise UserError(
                    f"--teacher_dir={folder} has {name} {ours}, --teacher={self._options.teacher} "
                    f"{theirs}: the one must be fine-tuned from the other"
                )


def _described(stage: Stage) -> dict:
    """JSON's view of a stage, without what is at its default: a study may be older than a field."""
    at_default = {f.name for f in dataclasses.fields(stage) if getattr(stage, f.name) == f.default}
    values = dataclasses.asdict(stage)
    return json.loads(json.dumps({k: v for k, v in values.items() if k not in at_default}))
