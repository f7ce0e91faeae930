"""Fine-tunes a pre-trained BERT as the teacher of a task."""

import dataclasses
import logging
import textwrap
from collections.abc import Sequence
from pathlib import Path

import keras

from tf_efficientbert.data.batching import MODEL_INPUTS, TrainingBatches
from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.task_model import TaskModel
from tf_efficientbert.models.teacher import Classifier, find_teacher, load_teacher
from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.options import input_option, option
from tf_efficientbert.training.fit import fit
from tf_efficientbert.training.options import TrainingOptions, make_deterministic
from tf_efficientbert.training.run_directory import open_run_directory
from tf_efficientbert.training.strategy import make_strategy

_log = logging.getLogger(__name__)

_BALANCED = "balanced"


@dataclasses.dataclass(frozen=True, kw_only=True)
class FineTuneOptions(TaskOptions, TrainingOptions):
    """Options of `fine_tune`."""

    output_dir: str = option("", "output folder; run again with it to resume")
    teacher_dir: str = input_option("", "a BERT's folder, bge-small, or minilm (also if empty)")
    class_weights: str = option("", "balanced: give rare classes more weight; empty: equal weights")

    def __post_init__(self) -> None:
        TaskOptions.__post_init__(self)
        TrainingOptions.__post_init__(self)
        if self.class_weights not in ("", _BALANCED):
            raise UserError(
                f"--class_weights={self.class_weights}: expected {_BALANCED} or nothing"
            )


def fine_tune(options: FineTuneOptions) -> dict:
    """Trains encoder and head on the task's labels and saves the model under `output_dir`/model.

    Returns: {"dev_…": scores, "parameters": int, "seconds": float}. A finished run returns its
        result again; an interrupted one resumes.

    Raises:
        UserError: a flag or file is invalid.
    """
    with open_run_directory(options) as run:
        if run.result:
            return run.result
        data = TaskData(options)
        train, dev = data.load("train"), data.load("dev")
        folder = find_teacher(options.teacher_dir)
        tokenizer = Tokenizer.from_folder(folder)
        data.show_card(tokenizer)
        make_deterministic()
        keras.utils.set_random_seed(options.seed)
        strategy = make_strategy(options.strategy)
        with strategy.scope():
            pretrained = load_teacher(folder, options.dropout, options.dtype)
            width = pretrained.backbone.architecture.hidden_size
            head = data.task.new_head(width, options.dropout, dtype=options.dtype)
            model = TaskModel(pretrained.backbone, head)
            head.pooler.set_weights([pretrained.pooler_kernel, pretrained.pooler_bias])
            if pretrained.classifier:
                _take_over(pretrained.classifier, head, data.task.labels, folder)
        teacher = TextModel(model, tokenizer, data.task, options.max_tokens)
        encoded_dev = teacher.encode(dev)

        weights = data.task.class_weights(train.labels) if options.class_weights else None
        if options.class_weights and weights is None:
            raise UserError(f"--class_weights={options.class_weights}: the task has no classes")

        def losses(batch, dropout_seed):
            inputs = {name: batch[name] for name in MODEL_INPUTS}
            outputs = model(inputs, training=True, dropout_seed=dropout_seed)
            return {"loss": data.task.label_loss(batch["labels"], outputs, weights)}

        def evaluate():
            return data.task.dev_scores(teacher.logits(encoded_dev), dev.labels)

        history = fit(
            model=model,
            loss_fn=losses,
            batches=TrainingBatches(teacher.encode(train), options.batch_size, options.seed),
            options=options,
            strategy=strategy,
            run=run,
            phase="fine-tune teacher",
            evaluate=evaluate,
        )
        teacher.task = data.task.fitted(teacher.logits(encoded_dev), dev.labels)
        teacher.save(run.path / "model")
        _log.info("teacher saved in %s", run.path / "model")
        dev_scores = {k: v for k, v in history[-1].items() if k.startswith("dev_")}
        result = {**dev_scores, "parameters": model.count_params()}
        return run.finish(result, {"fine-tuning": history})


def _take_over(classifier: Classifier, head, labels: Sequence[str], folder: Path) -> None:
    """Starts from the classifier of a BERT that was fine-tuned for the same labels."""
    weights = classifier.for_labels(labels)
    if weights:
        head.classifier.set_weights(weights)
        _log.info("%s: starts with its classifier, which has the task's labels", folder)
        return
    theirs = textwrap.shorten(", ".join(classifier.labels), 100)
    _log.warning("%s: left out its classifier, which is for other labels: %s", folder, theirs)
