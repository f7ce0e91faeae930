"""Distils students on raw text, then on a task from the fine-tuned teacher."""

import contextlib
import dataclasses
import logging
from collections.abc import Mapping

import keras

from tf_efficientbert.data.batching import MODEL_INPUTS, TrainingBatches
from tf_efficientbert.data.corpus import encoded_corpus
from tf_efficientbert.data.corpus_options import CorpusOptions
from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.data.unlabelled import (
    UnlabelledOptions,
    read_unlabelled,
    with_unlabelled,
)
from tf_efficientbert.distillation.inheritance import new_student
from tf_efficientbert.distillation.recipe_options import RecipeOptions
from tf_efficientbert.distillation.student_architecture import resolve_architecture
from tf_efficientbert.distillation.task_teacher import (
    TaskTeacherOptions,
    check_width,
    labelled_by,
    load_task_teacher,
)
from tf_efficientbert.distillation.teacher_pass import PredictionsAlone, TeacherPass
from tf_efficientbert.distillation.teacher_predictions import read_predictions, with_predictions
from tf_efficientbert.distillation.text_teacher import check_text_teacher
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.pretrained_supernet import load_supernet, supernet_option
from tf_efficientbert.models.teacher import find_teacher, load_teacher
from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.options import input_option, option
from tf_efficientbert.training.fit import fit
from tf_efficientbert.training.options import TrainingOptions, make_deterministic
from tf_efficientbert.training.progress import TrainingProgress
from tf_efficientbert.training.run_directory import RunDirectory, open_run_directory
from tf_efficientbert.training.side_by_side import train_side_by_side
from tf_efficientbert.training.strategy import make_strategy

_log = logging.getLogger(__name__)

_GENERAL = ("epochs", "learning_rate", "batch_size")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistillOptions(
    TaskOptions,
    CorpusOptions,
    UnlabelledOptions,
    TrainingOptions,
    TaskTeacherOptions,
    RecipeOptions,
):
    """Options of `distill`; the defaults are the paper's, with batches for one device."""

    output_dir: str = option("", "output folder; run again with it to resume")
    supernet: str = supernet_option(
        "", "folder that pretrain_supernet made: …/model; or pretrained, see docs/distillation.md"
    )
    architecture: str = input_option(
        "published",
        "published or plain (the paper's six cells, or ordinary ones of the same size, at the "
        "supernet's width), a preset's name, or a JSON file",
    )
    general_epochs: float = option(10.0, "epochs over the corpus before the task; 0: none")
    general_learning_rate: float = option(1e-4, "peak learning rate on the corpus")
    general_batch_size: int = option(64, "examples per step on the corpus, over all replicas")
    epochs: float = option(10.0, "epochs over the training set; may be a fraction")
    teacher_dir: str = input_option(
        "", "BERT that teaches on raw text, see train_teacher; empty: MiniLM"
    )

    def __post_init__(self) -> None:
        TaskOptions.__post_init__(self)
        TrainingOptions.__post_init__(self)
        TaskTeacherOptions.__post_init__(self)
        RecipeOptions.__post_init__(self)
        UnlabelledOptions.__post_init__(self)
        self.require_no_predictions(self.teacher_predictions)
        if not self.supernet:
            raise UserError("--supernet is missing: name the folder of a saved model")
        for name in ("general_learning_rate", "general_batch_size"):
            if not getattr(self, name) > 0:
                raise UserError(f"--{name}={getattr(self, name)}: expected a number above 0")
        if not self.general_epochs >= 0:
            raise UserError(f"--general_epochs={self.general_epochs}: expected 0 or more")
        CorpusOptions.__post_init__(self)
        if self.general_epochs:
            self.resolved_recipe.require_text_losses("--general_epochs=0, or --recipe")
        if self.teacher_predictions and not self.resolved_recipe.prediction_ratio:
            raise UserError("--teacher_predictions has no effect with --prediction_ratio=0")

    @property
    def general(self) -> TrainingOptions:
        """The options of the training on the corpus."""
        shared = {f.name: getattr(self, f.name) for f in dataclasses.fields(TrainingOptions)}
        own = {name: getattr(self, f"general_{name}") for name in _GENERAL}
        return TrainingOptions(**{**shared, **own})


def distill(options: DistillOptions) -> dict:
    """Distils one student and saves it, without fit projection, under `output_dir`/model.

    Dong et al. 2021, section 3.3: the student inherits from the supernet by slicing. It learns on
    raw text from the teacher before fine-tuning (attention and hidden losses), then on the task
    from the fine-tuned teacher (prediction loss too).

    Returns: {"dev_…": scores, "parameters": int, "macs": int, "seconds": float}. A finished run
        returns its result again; an interrupted one resumes.

    Raises:
        UserError: a flag or file is invalid.
    """
    with open_run_directory(options) as run:
        return run.result or _Distillation(options, run).run()


def distill_side_by_side(students: Mapping[str, DistillOptions]) -> dict[str, dict]:
    """Distils several students at once: their steps alternate, and use cores that one leaves idle.

    Each has the same weights as from `distill`, and its own output folder; what one of both calls
    began, the other can resume. With a cache of teacher outputs on disk, see `TeachingOptions`,
    students of one teacher share it; without one, each has a copy in memory.

    Returns: see `distill`, by name.

    Raises:
        UserError: see `distill`. If a training fails, it is raised when the others are finished.
    """
    if any(options.strategy != DistillOptions.strategy for options in students.values()):
        # Devices that several threads synchronize may wait for each other for ever.
        return {name: distill(options) for name, options in students.items()}
    with contextlib.ExitStack() as stack:
        runs = {
            name: stack.enter_context(open_run_directory(options))
            for name, options in students.items()
        }
        # One after the other: new weights come from Keras' global generator, and the first student
        # caches the teacher's outputs for the others.
        unfinished = {
            name: _Distillation(students[name], run) for name, run in runs.items() if not run.result
        }
        trainings = {name: student.run for name, student in unfinished.items()}
        results = train_side_by_side("students", trainings)
        return {name: results.get(name) or run.result for name, run in runs.items()}


class _Distillation:
    """A student, its teacher's outputs and its data; ready to train."""

    def __init__(self, options: DistillOptions, run: RunDirectory):
        self._options, self._run = options, run
        # Read all data first, so that a bad file fails before the slow steps.
        data, recipe = TaskData(options), options.resolved_recipe
        options.require_fit(data.task)
        train, self._dev = data.load("train"), data.load("dev")
        predictions = None
        if options.teacher_predictions:
            predictions = read_predictions(options.teacher_predictions, train, data.task)
        unlabelled = None
        if options.unlabelled_file:
            unlabelled = read_unlabelled(
                options.unlabelled_file, options.unlabelled_share, options, data
            )
        make_deterministic()
        keras.utils.set_random_seed(options.seed)
        self._strategy = make_strategy(options.strategy)
        with self._strategy.scope():
            supernet, origin = load_supernet(options.supernet), f"--supernet={options.supernet}"
            architecture = resolve_architecture(
                options.architecture, supernet.backbone.architecture
            )
            teacher = load_task_teacher(
                options.teacher,
                options.teacher_weights,
                data.task,
                options.max_tokens,
                supernet,
                origin,
            )
            if teacher and recipe.projects_hidden_states:
                check_width(teacher, options.teacher, supernet, origin)
            try:
                # EfficientBERT+: a supernet trained on the task passes on its head.
                parent = supernet.model if supernet.task == data.task else supernet.backbone
                network = new_student(
                    architecture, parent, data.task, options.dropout, options.dtype
                )
            except ValueError as error:
                raise UserError(
                    f"--architecture={options.architecture} cannot inherit from {origin}: {error}"
                ) from error
        self._student = TextModel(network, supernet.tokenizer, data.task, options.max_tokens)
        self._objective = recipe.objective(
            teacher.backbone.architecture if teacher else None, architecture, data.task
        )
        data.show_card(supernet.tokenizer)
        if options.general_epochs:
            widths_must_agree = recipe.projects_hidden_states
            check_text_teacher(
                options.teacher_dir, options.corpus_max_tokens, supernet, widths_must_agree
            )
        examples = self._student.encode(train)
        if predictions is not None:
            examples = with_predictions(predictions, examples, data.task)
        if unlabelled is not None:
            examples = with_unlabelled(
                examples, labelled_by(teacher, self._student.encode(unlabelled))
            )
        if teacher:
            with self._strategy.scope():
                frozen = teacher.model.rebuilt(dtype=options.frozen_dtype)
            self._teacher_pass = TeacherPass(frozen, self._objective.teacher_reads)
            examples = self._teacher_pass.cached(
                examples,
                options.epochs,
                self._objective.ignores_padding,
                options.teacher_memory_gb,
                options.output_store,
            )
        else:  # the examples have its predictions
            self._teacher_pass = PredictionsAlone(data.task)
        self._examples = examples

    def run(self, progress: TrainingProgress | None = None) -> dict:
        """Trains and saves the student; returns its result.

        Args:
            progress: see `loop.train`.
        """
        student, run = self._student, self._run
        histories = {}
        if self._options.general_epochs:
            histories["general"] = self._train_on_text(progress)
        histories["task"] = self._train_on_task(progress)
        finished = student.with_network(student.model.rebuilt(fit_size=None))
        finished.task = student.task.fitted(
            finished.logits(finished.encode(self._dev)), self._dev.labels
        )
        finished.save(run.path / "model")
        _log.info("student saved in %s", run.path / "model")
        last = histories["task"][-1]
        result = {
            **{name: value for name, value in last.items() if name.startswith("dev_")},
            "parameters": finished.model.count_params(),
            "macs": student.backbone.architecture.count_macs(),
        }
        return run.finish(result, histories)

    def _train_on_text(self, progress: TrainingProgress | None) -> list[dict]:
        options, student = self._options, self._student
        folder, backbone = find_teacher(options.teacher_dir), student.backbone
        with self._strategy.scope():
            teacher = load_teacher(folder, dtype=options.frozen_dtype).backbone
        objective = options.resolved_recipe.objective(
            teacher.architecture, backbone.architecture, task=None
        )
        text = encoded_corpus(
            options.corpus,
            options.corpus_sentences,
            options.corpus_max_tokens,
            student.tokenizer,
            options.packs_pairs(student.task.pair),
        )
        training = options.general
        return fit(
            model=backbone,
            loss_fn=lambda batch, seed: objective.losses(teacher, backbone, batch, seed),
            batches=TrainingBatches(text, training.batch_size, training.seed),
            options=training,
            strategy=self._strategy,
            run=self._run,
            phase="distil on text",
            progress=progress,
        )

    def _train_on_task(self, progress: TrainingProgress | None) -> list[dict]:
        options, student, dev = self._options, self._student, self._dev
        encoded_dev = student.encode(dev)

        def losses(batch, dropout_seed):
            inputs = {name: batch[name] for name in MODEL_INPUTS}
            outputs = student.model(inputs, training=True, dropout_seed=dropout_seed)
            return self._objective.compare(self._teacher_pass.in_graph(batch), outputs, batch)

        def evaluate():
            return student.task.dev_scores(student.logits(encoded_dev), dev.labels)

        return fit(
            model=student.model,
            loss_fn=losses,
            batches=TrainingBatches(self._examples, options.batch_size, options.seed),
            options=options,
            strategy=self._strategy,
            run=self._run,
            phase="distil on task",
            evaluate=evaluate,
            progress=progress,
        )
