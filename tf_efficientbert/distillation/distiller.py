"""Distilling a student: on raw text from the warm supernet, then on a task from its teacher."""

import dataclasses
import logging

import keras

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.architecture.presets import PRESETS
from tf_efficientbert.data.batching import MODEL_INPUTS, TrainingBatches
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.data.text_file import read_lines
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.distillation.cached_outputs import cached_outputs
from tf_efficientbert.distillation.given_predictions import read_predictions, with_predictions
from tf_efficientbert.distillation.inheritance import new_student
from tf_efficientbert.distillation.objective import Objective
from tf_efficientbert.distillation.task_teacher import (
    TaskTeacherOptions,
    check_width,
    load_task_teacher,
)
from tf_efficientbert.distillation.teacher_pass import TeacherPass
from tf_efficientbert.distillation.warm_up import CorpusOptions, usable_attention_ratio
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.teacher import find_teacher, load_teacher, read_config
from tf_efficientbert.models.text_model import TextModel, load
from tf_efficientbert.options import input_option, option
from tf_efficientbert.tasks import LabelledTask
from tf_efficientbert.training.fit import fit
from tf_efficientbert.training.options import TrainingOptions, make_deterministic
from tf_efficientbert.training.run_directory import RunDirectory, open_run_directory
from tf_efficientbert.training.strategy import make_strategy

_log = logging.getLogger(__name__)

_GENERAL = ("epochs", "learning_rate", "batch_size")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistillOptions(TaskOptions, CorpusOptions, TrainingOptions, TaskTeacherOptions):
    """What `distill` is told; the defaults are the paper's, with batches for one device."""

    output_dir: str = option("", "output folder; run again with it to resume")
    supernet: str = input_option("", "folder that pretrain_supernet made: …/model")
    architecture: str = input_option(
        "published",
        "published or plain (the paper's six cells, or ordinary ones of the same size, at the "
        "supernet's width), a preset's name, or a JSON file",
    )
    general_epochs: float = option(10.0, "epochs over the corpus before the task; 0: none")
    general_learning_rate: float = option(1e-4, "peak learning rate on the corpus")
    general_batch_size: int = option(64, "examples per step on the corpus, over all replicas")
    epochs: float = option(10.0, "epochs over the training set; may be a fraction")
    teacher_dir: str = input_option("", "BERT folder that teaches on text; empty for MiniLM")
    hidden_ratio: float = option(1.0, "weight of the hidden and attention losses on the task")
    attention_ratio: float = option(1.0, "weight of the attention loss; 0: none")
    prediction_ratio: float = option(1.0, "weight of the prediction loss")
    temperature: float = option(1.0, "temperature of the prediction loss")
    real_tokens_only: bool = option(False, "leave padding out of hidden and attention losses")
    sum_over_classes: bool = option(False, "sum the prediction loss over classes")

    def __post_init__(self) -> None:
        TaskOptions.__post_init__(self)
        TrainingOptions.__post_init__(self)
        TaskTeacherOptions.__post_init__(self)
        if not self.supernet:
            raise UserError("--supernet is missing: name the folder of a saved model")
        for name in ("general_epochs", "general_learning_rate", "general_batch_size"):
            if not getattr(self, name) >= 0:
                raise UserError(f"--{name}={getattr(self, name)}: expected 0 or more")
        ratios = ("hidden_ratio", "attention_ratio", "prediction_ratio")
        for name in ratios:
            if not getattr(self, name) >= 0:
                raise UserError(f"--{name}={getattr(self, name)}: expected 0 or more")
        if not (self.hidden_ratio or self.prediction_ratio):
            raise UserError("--hidden_ratio and --prediction_ratio are both 0: nothing to learn")
        if self.teacher_predictions and not self.prediction_ratio:
            raise UserError("--teacher_predictions teaches nothing with --prediction_ratio=0")
        if not self.temperature > 0:
            raise UserError(f"--temperature={self.temperature}: expected a number above 0")

    @property
    def general(self) -> TrainingOptions:
        """The options of the training on the corpus."""
        shared = {f.name: getattr(self, f.name) for f in dataclasses.fields(TrainingOptions)}
        own = {name: getattr(self, f"general_{name}") for name in _GENERAL}
        return TrainingOptions(**{**shared, **own})


def distill(options: DistillOptions) -> dict:
    """Distils one student and saves it, without fit projection, under `output_dir`/model.

    Dong et al. 2021, section 3.3: the student inherits from the supernet by slicing, learns on raw
    text from the teacher before fine-tuning (attention and hidden loss), then on the task from the
    fine-tuned one (prediction loss too).

    Returns: {"dev_…": scores, "parameters": int, "macs": int, "seconds": float}. A finished run
        returns what it returned then; an interrupted one goes on.

    Raises:
        UserError: for everything that is wrong with flags or files.
    """
    with open_run_directory(options) as run:
        if run.result:
            return run.result
        data = TaskData(options)
        train, dev = data.load("train"), data.load("dev")  # before anything that takes long
        if options.teacher_predictions:
            read_predictions(options.teacher_predictions, train, data.task)
        make_deterministic()
        keras.utils.set_random_seed(options.seed)
        strategy = make_strategy(options.strategy)
        with strategy.scope():
            supernet = load(options.supernet)
            architecture = resolve_architecture(
                options.architecture, supernet.backbone.architecture
            )
            origin = f"--supernet={options.supernet}"
            teacher = load_task_teacher(options.teacher, data.task, supernet, origin)
            if teacher and options.hidden_ratio:
                check_width(teacher, options.teacher, supernet, origin)
            student = _start(options, data.task, architecture, supernet)
        data.show_card(student.tokenizer)
        if options.general_epochs:
            check_text_teacher(options, supernet)
        histories = {}
        if options.general_epochs:
            histories["general"] = _distill_on_text(options, run, strategy, student)
        histories["task"] = _distill_on_task(options, run, strategy, student, teacher, train, dev)
        finished = TextModel(
            student.model.rebuilt(fit_size=None),
            student.tokenizer,
            student.task,
            student.max_tokens,
        )
        finished.task = student.task.fitted(finished.logits(finished.encode(dev)), dev.labels)
        finished.save(run.path / "model")
        _log.info("student saved in %s", run.path / "model")
        last = histories["task"][-1]
        result = {
            **{name: value for name, value in last.items() if name.startswith("dev_")},
            "parameters": finished.model.count_params(),
            "macs": student.backbone.architecture.count_macs(),
        }
        return run.finish(result, histories)


def resolve_architecture(name: str, supernet: Architecture) -> Architecture:
    """The architecture that `--architecture` names, see `DistillOptions`.

    Raises:
        UserError: no such preset or file, or the file describes none.
    """
    published = PRESETS["efficientbert"]["formulas"]
    try:
        if name in ("published", "plain"):
            times, rest = divmod(supernet.num_layers, len(published))
            if rest:
                raise UserError(
                    f"--architecture={name} needs a supernet of 6 layers or a multiple, "
                    f"this one has {supernet.num_layers}"
                )
            formulas = [formula for formula in published for _ in range(times)]
            sizes = ("hidden_size", "ffn_width", "num_heads", "embedding_size", "embedding")
            architecture = Architecture.from_formulas(
                formulas, **{size: getattr(supernet, size) for size in sizes}
            )
            return architecture if name == "published" else architecture.with_ordinary_cells()
        if name in PRESETS:
            return Architecture.from_preset(name)
        if not name.endswith(".json"):
            known = ", ".join(["published", "plain", *PRESETS])
            raise UserError(f"--architecture={name}: expected {known} or a .json file")
        return Architecture.from_json("\n".join(line for _, line in read_lines(name)))
    except ValueError as error:
        raise UserError(f"--architecture={name}: {error}") from error


def check_text_teacher(options, supernet: TextModel) -> None:
    """Raises UserError where --teacher_dir cannot teach what starts from --supernet on text."""
    folder = find_teacher(options.teacher_dir)
    width, fit_size = read_config(folder)["hidden_size"], supernet.backbone.fit_size
    if width != fit_size:
        raise UserError(
            f"--teacher_dir={folder} is {width} wide, but the supernet was distilled from a "
            f"teacher of {fit_size}"
        )
    if Tokenizer.from_folder(folder).vocabulary != supernet.tokenizer.vocabulary:
        raise UserError(f"--teacher_dir={folder} has another vocabulary than --supernet")
    if options.corpus_max_tokens > supernet.backbone.max_positions:
        raise UserError(
            f"--corpus_max_tokens={options.corpus_max_tokens} is over the supernet's "
            f"{supernet.backbone.max_positions} positions"
        )


def _start(
    options: DistillOptions, task: LabelledTask, architecture: Architecture, supernet: TextModel
) -> TextModel:
    """The student before its first step, cut out of the supernet."""
    # The search's shared supernet has learned the task: EfficientBERT+ takes its head over.
    try:
        student = new_student(
            architecture,
            supernet.model if supernet.task == task else supernet.backbone,
            task,
            options.dropout,
            options.dtype,
        )
    except ValueError as error:
        raise UserError(
            f"--architecture={options.architecture} cannot inherit from "
            f"--supernet={options.supernet}: {error}"
        ) from error
    return TextModel(student, supernet.tokenizer, task, options.max_tokens)


def _distill_on_text(options, run: RunDirectory, strategy, student: TextModel) -> list[dict]:
    with strategy.scope():
        folder = find_teacher(options.teacher_dir)
        teacher = load_teacher(folder, dtype=options.frozen_dtype).backbone
    objective = Objective(
        attention_ratio=usable_attention_ratio(options.attention_ratio, teacher, student.backbone),
        real_tokens_only=options.real_tokens_only,
    )
    return fit(
        model=student.backbone,
        loss_fn=lambda batch, seed: objective.losses(teacher, student.backbone, batch, seed),
        batches=TrainingBatches(
            options.encoded(student.tokenizer), options.general.batch_size, options.seed
        ),
        options=options.general,
        strategy=strategy,
        run=run,
        phase="distil on text",
    )


def _distill_on_task(
    options,
    run: RunDirectory,
    strategy,
    student: TextModel,
    teacher: TextModel | None,
    train: Examples,
    dev: Examples,
) -> list[dict]:
    if teacher is None:
        model, hidden_ratio, attention_ratio = None, 0.0, 0.0  # predictions are all there is
    else:
        with strategy.scope():
            model = teacher.model.rebuilt(dtype=options.frozen_dtype)
        hidden_ratio = options.hidden_ratio
        attention_ratio = usable_attention_ratio(
            options.attention_ratio, teacher.backbone, student.backbone
        )
    objective = Objective(
        hidden_ratio=hidden_ratio,
        attention_ratio=attention_ratio,
        prediction_ratio=options.prediction_ratio,
        temperature=options.temperature,
        real_tokens_only=options.real_tokens_only,
        sum_over_classes=options.sum_over_classes,
        task=student.task,
    )
    examples = student.encode(train)
    if model:
        compared = bool(hidden_ratio)
        teacher_pass = TeacherPass(
            model, compared and bool(attention_ratio), student.task, compared
        )
        examples = teacher_pass.recorded(
            examples, options.epochs, options.real_tokens_only, options.teacher_memory_gb
        )
    else:
        examples = with_predictions(options.teacher_predictions, examples, train, student.task)
    encoded_dev = student.encode(dev)

    def losses(batch, dropout_seed):
        inputs = {name: batch[name] for name in MODEL_INPUTS}
        # Not `teacher_pass(batch)`: each replica has its own part of the teacher's graph.
        theirs = cached_outputs(batch) or (model(inputs, training=False) if model else {})
        ours = student.model(inputs, training=True, dropout_seed=dropout_seed)
        return objective.compare(theirs, ours, batch)

    def evaluate():
        return student.task.dev_scores(student.logits(encoded_dev), dev.labels)

    return fit(
        model=student.model,
        loss_fn=losses,
        batches=TrainingBatches(examples, options.batch_size, options.seed),
        options=options,
        strategy=strategy,
        run=run,
        phase="distil on task",
        evaluate=evaluate,
    )
