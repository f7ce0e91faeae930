"""The job that compresses a trained student while it trains on its teacher."""

import contextlib
import dataclasses
import json
import logging
import zlib
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from tf_efficientbert.compression.dropping import layer_influence, without_layers
from tf_efficientbert.compression.pruning import Pruner
from tf_efficientbert.compression.quantization import Quantizer
from tf_efficientbert.compression.steps import (
    Drop,
    Prune,
    Quantize,
    Step,
    Vocabulary,
    check_drops,
    count_trainings,
    parse_steps,
)
from tf_efficientbert.compression.vocabulary import used_pieces, with_pieces
from tf_efficientbert.data.batching import MODEL_INPUTS, EncodedExamples, TrainingBatches
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.data.unlabelled import UnlabelledOptions, read_unlabelled, with_unlabelled
from tf_efficientbert.distillation.cached_outputs import CachedTeacherOutputs
from tf_efficientbert.distillation.objective import Objective
from tf_efficientbert.distillation.outputs import layer_output
from tf_efficientbert.distillation.task_teacher import (
    TaskTeacherOptions,
    labelled_by,
    load_task_teacher,
)
from tf_efficientbert.distillation.teacher_pass import TeacherPass
from tf_efficientbert.distillation.teacher_predictions import read_predictions, with_predictions
from tf_efficientbert.distillation.terms import hidden_term, prediction_term
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.litert_conversion import converted
from tf_efficientbert.models.task_model import TaskModel
from tf_efficientbert.models.text_model import TextModel, load
from tf_efficientbert.options import input_option, option
from tf_efficientbert.storage import write_json
from tf_efficientbert.training.fit import count_steps, fit
from tf_efficientbert.training.options import TrainingOptions, make_deterministic
from tf_efficientbert.training.run_directory import RunDirectory, open_run_directory
from tf_efficientbert.training.strategy import make_strategy

_log = logging.getLogger(__name__)

_START = "as it was"
_MEASURED_EXAMPLES = 256  # for measuring the influence of layers


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompressOptions(TaskOptions, UnlabelledOptions, TrainingOptions, TaskTeacherOptions):
    """Options of `compress`."""

    output_dir: str = option("", "output folder; run again with it to resume")
    model: str = input_option("", "folder of the trained student: …/model")
    compress: str = option("", "compression steps in order, e.g. prune(0.5),quantize(int8)")
    epochs: float = option(2.0, "epochs over the training set in each step")
    learning_rate: float = option(
        2e-4, "peak learning rate (linear warm-up and decay) of each step"
    )
    hidden_ratio: float = option(1.0, "weight of the hidden loss against the uncompressed student")

    def __post_init__(self) -> None:
        TaskOptions.__post_init__(self)
        TrainingOptions.__post_init__(self)
        if count_trainings(self.steps) or self.teacher or self.teacher_predictions:
            TaskTeacherOptions.__post_init__(self)
        UnlabelledOptions.__post_init__(self)
        self.require_no_predictions(self.teacher_predictions)
        if not self.model:
            raise UserError("--model is missing: name the folder of a saved model")
        if not self.steps:
            raise UserError("--compress is missing: set steps, such as prune(0.5),quantize(int8)")
        if not self.hidden_ratio >= 0:
            raise UserError(f"--hidden_ratio={self.hidden_ratio}: expected 0 or more")

    @property
    def steps(self) -> tuple[Step, ...]:
        return parse_steps(self.compress)


def compress(options: CompressOptions) -> dict:
    """Runs the steps one after the other and saves the student to `output_dir`/model.

    Each step but `vocabulary` is a task distillation that starts from the current student. The
    predictions to match come from the teacher or from a file. The hidden states come, layer by
    layer, from the uncompressed student, as from the full-precision model in Zhang et al. 2020,
    TernaryBERT (arXiv 2009.12812): the teacher's have another width, and a saved student has no fit
    projection. Later steps keep the results of earlier ones: zeros stay zero, and weights stay
    quantized.

    Returns: {"dev_…": scores, "parameters", "nonzero_parameters", "macs", "zipped_bytes",
        "int8_bytes": see `_sizes`, "steps": the same for the uncompressed student and after each
        step, with "step" and "seconds", "seconds": float}. A finished run returns its earlier
        result; an interrupted one resumes.

    Raises:
        UserError: a flag or file is invalid.
    """
    with open_run_directory(options) as run:
        if run.result:
            return run.result
        data = TaskData(options)
        train, dev = data.load("train"), data.load("dev")
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
        strategy = make_strategy(options.strategy)
        with strategy.scope():
            student, origin = load(options.model), f"--model={options.model}"
            student.require(data.task, options.max_tokens, origin)
            student.score_by(data.task.metrics)
            teacher = load_task_teacher(
                options.teacher,
                options.teacher_weights,
                data.task,
                options.max_tokens,
                student,
                origin,
            )
        data.show_card(student.tokenizer)
        check_drops(options.steps, student.backbone.architecture.num_layers)
        examples = student.encode(train)
        if unlabelled is not None:
            more = student.encode(unlabelled)
            examples = with_unlabelled(examples, labelled_by(teacher, more) if teacher else more)
        with strategy.scope():
            teachers = _Teachers(
                teacher.model.rebuilt(dtype=options.frozen_dtype) if teacher else None,
                student.model.rebuilt(dtype=options.dtype) if options.hidden_ratio else None,
            )
        states = student.backbone.architecture.num_layers + 1 if options.hidden_ratio else 0
        reads = [layer_output("hidden_states", state) for state in range(states)]
        reads += student.task.distilled_outputs
        teacher_pass = TeacherPass(teachers, reads, teachers.networks)
        if teacher:
            # All steps that train do so on the same examples.
            epochs = options.epochs * count_trainings(options.steps)
            taught = teacher_pass.cached(
                examples, epochs, True, options.teacher_memory_gb, options.output_store
            )
        elif predictions is not None:
            taught = with_predictions(predictions, examples, student.task)
        else:
            taught = examples  # no step trains
        with strategy.scope():
            model = student.model.rebuilt(dropout=options.dropout, dtype=options.dtype)
        compression = _Compression(
            student=student.with_network(model),
            teacher_pass=teacher_pass,
            hidden_ratio=options.hidden_ratio,
            examples=examples,
            taught=taught,
            dev=dev,
            training=options,
            strategy=strategy,
            run=run,
        )
        histories = {}
        for number, step in enumerate(options.steps, start=1):
            if isinstance(step, Vocabulary):
                compression.shrink(number, step)
            else:
                histories[f"{number} {step}"] = compression.take(number, step)
        finished = compression.finished()
        finished.save(run.path / "model")
        _log.info("compressed student saved in %s", run.path / "model")
        rows = compression.rows
        last = {k: v for k, v in rows[-1].items() if k not in ("step", "seconds")}
        return run.finish({**last, "steps": rows}, histories)


class _Teachers:
    """The fine-tuned teacher and the student before compression; either may be missing.

    Called like a `TaskModel`: the first gives the logits, the second the hidden states.
    """

    def __init__(self, teacher: TaskModel | None, original: TaskModel | None):
        self._teacher, self._original = teacher, original
        self.networks = [network for network in (teacher, original) if network]

    def __call__(self, inputs: dict, training: bool = False) -> dict:
        outputs = self._teacher(inputs, training=training) if self._teacher else {}
        if self._original:
            states = self._original(inputs, training=training)["hidden_states"]
            outputs = {**outputs, "hidden_states": states}
        return outputs


class _Compression:
    """A student between two steps, and the cost and score after each step so far (`rows`).

    Args:
        student: the student before the first step, in its training dtype.
        examples: the training examples.
        taught: the same with the teachers' outputs, where these are cached.
        training: of each step.
    """

    def __init__(
        self,
        *,
        student: TextModel,
        teacher_pass: TeacherPass,
        hidden_ratio: float,
        examples: EncodedExamples,
        taught: EncodedExamples | CachedTeacherOutputs,
        dev: Examples,
        training: TrainingOptions,
        strategy: tf.distribute.Strategy,
        run: RunDirectory,
    ):
        self._student, self._teacher_pass = student, teacher_pass
        self._hidden_ratio = hidden_ratio
        self._examples, self._taught = examples, taught
        self._dev, self._encoded_dev = dev, student.encode(dev)
        self._training, self._strategy, self._run = training, strategy, run
        self._layers = tuple(range(student.backbone.architecture.num_layers))
        self._quantizer: Quantizer | None = None
        self._quantizes = False
        self._path = run.path / "steps.json"
        written = self._path.exists()
        self.rows: list[dict] = json.loads(self._path.read_text("utf-8")) if written else []
        if not written:
            _log.info("scoring the student: %s", _START)
            self._record(0, _START, self._evaluate())

    def take(self, number: int, step: Step) -> list[dict]:
        """Runs a step, including its training; returns the history."""
        training, strategy = self._training, self._strategy
        name = str(step)
        if isinstance(step, Drop):
            dropped = self._drop(number, step)
            name = str(Drop(layers=tuple(layer + 1 for layer in dropped)))
        self._quantizes = self._quantizes or isinstance(step, Quantize)
        batches = TrainingBatches(self._taught, training.batch_size, training.seed)
        model = self._student.model
        with strategy.scope():
            pruner = Pruner(
                model.backbone,
                step if isinstance(step, Prune) else None,
                count_steps(training.epochs, batches),
            )
            if self._quantizes:
                self._quantizer = Quantizer(model, self._student.max_tokens)
        quantizer = self._quantizer

        def after_step(steps_taken):
            pruner.after_step(steps_taken)
            if quantizer:
                quantizer.follow()

        after_step = tf.function(after_step, autograph=False)

        def in_scope(steps_taken: int) -> None:
            with strategy.scope():
                after_step(tf.constant(steps_taken, tf.int64))

        history = fit(
            model=model,
            loss_fn=self._loss_fn(model, quantizer),
            batches=batches,
            options=training,
            strategy=strategy,
            run=self._run,
            phase=f"{number} {step}",
            evaluate=self._evaluate,
            after_step=in_scope,
            state=[*pruner.variables, *(quantizer.variables if quantizer else ())],
        )
        self._record(number, name, history[-1])
        return history

    def shrink(self, number: int, step: Vocabulary) -> None:
        """Removes word pieces, which ends the compression: the teacher has all of them."""
        kept = used_pieces(self._student.tokenizer, self._examples, step.least)
        with self._strategy.scope():
            self._student = with_pieces(self._student, kept)
            if self._quantizer:
                # The table's largest entry, which sets its range, may be gone.
                self._quantizer = Quantizer(self._student.model, self._student.max_tokens)
        self._encoded_dev = self._student.encode(self._dev)
        self._record(number, str(step), self._evaluate())

    def finished(self) -> TextModel:
        """Returns the student with its final, possibly rounded, weights."""
        if self._quantizer:
            self._quantizer.round()
        logits = self._student.logits(self._encoded_dev)
        self._student.task = self._student.task.fitted(logits, self._dev.labels)
        return self._student

    def _loss_fn(self, model: TaskModel, quantizer: Quantizer | None):
        terms = []
        if self._hidden_ratio:
            terms.append(hidden_term(self._hidden_ratio, self._layers, real_tokens_only=True))
        terms.append(prediction_term(1.0, self._student.task, sum_over_classes=True))
        objective = Objective(tuple(terms))

        def loss_fn(batch, dropout_seed):
            inputs = {name: batch[name] for name in MODEL_INPUTS}
            targets = self._teacher_pass.in_graph(batch)
            with quantizer.scope() if quantizer else contextlib.nullcontext():
                outputs = model(inputs, training=True, dropout_seed=dropout_seed)
            return objective.compare(targets, outputs, batch)

        return loss_fn

    def _drop(self, number: int, step: Drop) -> tuple[int, ...]:
        """Removes layers; returns their numbers, from 0."""
        model = self._student.model
        dropped = tuple(layer - 1 for layer in step.layers)
        if not dropped:
            # Kept on disk: a resumed step must continue with the network of its checkpoint.
            path = self._run.checkpoints / f"dropped-{number}.json"
            if not path.exists():
                count = min(len(self._examples), _MEASURED_EXAMPLES)
                influence = layer_influence(model.backbone, self._examples.take(np.arange(count)))
                write_json(path, np.argsort(influence, kind="stable")[: step.count].tolist())
            dropped = tuple(json.loads(path.read_text("utf-8")))
        self._layers = tuple(old for i, old in enumerate(self._layers) if i not in dropped)
        with self._strategy.scope():
            smaller = without_layers(model, dropped)
        self._student = self._student.with_network(smaller)
        return dropped

    def _evaluate(self) -> dict[str, float]:
        with self._deployed_weights():
            logits = self._student.logits(self._encoded_dev)
        return self._student.task.dev_scores(logits, self._dev.labels)

    def _deployed_weights(self):
        return self._quantizer.rounded() if self._quantizer else contextlib.nullcontext()

    def _record(self, number: int, name: str, figures: dict) -> None:
        """Records scores and sizes after a step, unless an earlier process has done so."""
        if number < len(self.rows):
            return
        _log.info("measuring the sizes of the student: %s", name)
        with self._deployed_weights():
            sizes = _sizes(self._student, self.rows)
        dev = {key: value for key, value in figures.items() if key.startswith("dev_")}
        seconds = self._run.seconds - sum(row["seconds"] for row in self.rows)
        self.rows.append({"step": name, **dev, **sizes, "seconds": seconds})
        self._run.save_clock()
        write_json(self._path, self.rows)


def _sizes(student: TextModel, rows: Sequence[Mapping]) -> dict[str, int]:
    """Returns {"parameters", "nonzero_parameters", "macs", "zipped_bytes", "int8_bytes"}.

    "macs" is at 128 tokens, "zipped_bytes" is the size of the deflated float32 weights and
    "int8_bytes" that of the int8 LiteRT file.

    Args:
        rows: the sizes before, oldest first. The size of a LiteRT file depends on the shapes of the
            weights alone, so without a dropped layer it is the one before.
    """
    weights = [weight.numpy() for weight in student.model.weights]
    content = b"".join(weight.astype(np.float32).tobytes() for weight in weights)
    parameters = sum(weight.size for weight in weights)
    if rows and rows[-1]["parameters"] == parameters:
        int8_bytes = rows[-1]["int8_bytes"]
    else:
        ((_, int8),) = converted(student.model, (student.max_tokens,), ("int8",))
        int8_bytes = len(int8)
    return {
        "parameters": parameters,
        "nonzero_parameters": sum(int(np.count_nonzero(weight)) for weight in weights),
        "macs": student.backbone.architecture.count_macs(),
        "zipped_bytes": len(zlib.compress(content)),
        "int8_bytes": int8_bytes,
    }
