"""A model that takes text: network, tokenizer and labels, saved in one folder."""

import dataclasses
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tf_efficientbert.data.batching import MODEL_INPUTS, EncodedExamples, encode, evaluation_batches
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.errors import UserError, first_line
from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.models.huggingface_folder import (
    is_huggingface_folder,
    read_huggingface_folder,
)
from tf_efficientbert.models.task_model import TaskModel
from tf_efficientbert.storage import recover_directory, replaced_directory
from tf_efficientbert.tasks import LabelledTask, Prediction, Task, task_from_dict

_EVALUATION_BATCH = 64
_NETWORK, _DESCRIPTION = "model.keras", "text_model.json"


class TextModel:
    """A network with its tokenizer and task, for predictions from text.

    Args:
        model: TaskModel; or a bare EfficientBert, such as a supernet, with `task` None.
        tokenizer: Tokenizer of the network's vocabulary.
        task: Task or None.
        max_tokens: int, the length at which text is cut.

    Raises:
        UserError: the vocabulary's size is not the network's, or `max_tokens` exceeds its
            positions.
    """

    def __init__(
        self,
        model: TaskModel | EfficientBert,
        tokenizer: Tokenizer,
        task: Task | None,
        max_tokens: int = 128,
    ):
        self.model, self.tokenizer, self.task, self.max_tokens = model, tokenizer, task, max_tokens
        rows = self.backbone.vocabulary_size
        if len(tokenizer.vocabulary) != rows:
            raise UserError(
                f"the vocabulary has {len(tokenizer.vocabulary)} entries, "
                f"but the model's token table {rows} rows: they are from different models"
            )
        if max_tokens > self.backbone.max_positions:
            raise UserError(
                f"max_tokens is {max_tokens}, but the model has {self.backbone.max_positions} "
                "positions"
            )

        spec = tf.TensorSpec([None, None], tf.int32)
        self._logits = tf.function(
            lambda inputs: self.model(inputs)["logits"],
            input_signature=[dict.fromkeys(MODEL_INPUTS, spec)],
        )

    def with_network(self, model: TaskModel | EfficientBert) -> "TextModel":
        """Returns a text model of another network, with this tokenizer and task."""
        return TextModel(model, self.tokenizer, self.task, self.max_tokens)

    @property
    def backbone(self) -> EfficientBert:
        return self.model if isinstance(self.model, EfficientBert) else self.model.backbone

    @property
    def labels(self) -> tuple[str, ...]:
        """The class names in the order of the logits; empty for a regression."""
        return self.task.labels if self.task else ()

    def encode(self, examples: Examples) -> EncodedExamples:
        return encode(
            self.tokenizer,
            examples.texts,
            examples.second_texts,
            examples.labels,
            self.max_tokens,
        )

    def logits(self, encoded: EncodedExamples) -> np.ndarray:
        """Returns the logits of all examples in order: [examples, classes], or [examples]."""
        results = None
        batches = tqdm(
            evaluation_batches(encoded, _EVALUATION_BATCH),
            total=-(-len(encoded) // _EVALUATION_BATCH),
            desc="predict",
            delay=10,
            leave=False,
        )
        for indices, batch in batches:
            batch.pop("labels", None)
            values = self._logits({name: tf.constant(a) for name, a in batch.items()}).numpy()
            if results is None:
                results = np.zeros((len(encoded), *values.shape[1:]), np.float32)
            results[indices] = values
        return results

    def predict(
        self, texts: Sequence[str], second_texts: Sequence[str] | None = None
    ) -> list[Prediction]:
        """Returns the label and probability of each text; for a regression the value.

        Raises:
            ValueError: second texts are missing or not expected; the model has no task, or one
                without labels; a single string is given instead of a list.
        """
        if self.task is None:
            raise ValueError("the model has no task head, so it cannot predict labels")
        if not isinstance(self.task, LabelledTask):
            raise ValueError(f"the model's task is a {self.task.kind}, which has no labels")
        if isinstance(texts, str) or isinstance(second_texts, str):
            raise ValueError("expected lists of texts, got a single string")
        if (second_texts is not None) != self.task.pair:
            raise ValueError(
                f"task {self.task.name} takes {'two texts' if self.task.pair else 'one text'}"
            )
        seconds = tuple(second_texts) if self.task.pair else None
        examples = Examples(tuple(texts), seconds, None)
        if not len(examples):
            return []
        return self.task.decode(self.logits(self.encode(examples)))

    def score_by(self, metrics: Sequence[str]) -> None:
        """Sets the task's metrics; the first one selects models."""
        self.task = dataclasses.replace(self.task, metrics=tuple(metrics))

    def require_task(self, task: Task, origin: str) -> None:
        """Raises UserError if the model is not for `task`; `origin` is the flag with its value."""
        if self.task != task:
            raise UserError(
                f"{origin} was trained for {_described(self.task)}, the data is {_described(task)}"
                "; give the data that it was trained on, with --train_file or --task"
            )

    def require(self, task: Task, max_tokens: int, origin: str) -> None:
        """Raises UserError if the model is for another task or text length."""
        self.require_task(task, origin)
        if self.max_tokens != max_tokens:
            raise UserError(
                f"{origin} cuts text at {self.max_tokens} tokens: give "
                f"--max_tokens={self.max_tokens}, not {max_tokens}"
            )

    def save(self, folder: str | Path) -> None:
        """Writes the folder that `load` reads, in float32 and atomically.

        Raises:
            UserError: the disk is full; the previous content is unchanged.
        """
        with replaced_directory(folder) as new:
            self.model.rebuilt(dtype="float32").save(new / _NETWORK)
            self.tokenizer.save(new)
            task = self.task.to_dict() if self.task else None
            description = {"task": task, "max_tokens": self.max_tokens}
            (new / _DESCRIPTION).write_text(json.dumps(description, indent=2), "utf-8")


def load(folder: str | Path) -> TextModel:
    """Loads a student or teacher with its tokenizer and labels.

    Args:
        folder: one that `TextModel.save` or `export.export_huggingface` wrote.

    Raises:
        UserError: `folder` contains no model, or a file is damaged.
    """
    folder = Path(folder)
    recover_directory(folder)
    is_huggingface = is_huggingface_folder(folder)
    for name in () if is_huggingface else (_NETWORK, _DESCRIPTION, "vocab.txt"):
        if not (folder / name).is_file():
            hint = f"; {folder / 'model'} does" if (folder / "model" / name).is_file() else ""
            missing = f"there is no {name} in it" if folder.is_dir() else "there is no such folder"
            raise UserError(f"{folder} holds no saved model: {missing}{hint}")
    try:
        model, task, max_tokens = (
            read_huggingface_folder(folder) if is_huggingface else _read_saved(folder)
        )
        return TextModel(model, Tokenizer.from_folder(folder), task, max_tokens)
    except UserError as error:
        raise UserError(f"the model in {folder} cannot be used: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(
            f"the model in {folder} is damaged and cannot be read: {first_line(error)}"
        ) from error


def _read_saved(folder: Path) -> tuple[TaskModel | EfficientBert, Task | None, int]:
    description = json.loads((folder / _DESCRIPTION).read_text("utf-8"))
    model = keras.saving.load_model(folder / _NETWORK)
    task = task_from_dict(description["task"]) if description["task"] else None
    return model, task, description["max_tokens"]


def _described(task: Task | None) -> str:
    if task is None:
        return "no task"
    labels = f", labels {list(task.labels)}" if task.labels else ""
    return f"{task.name} ({task.kind}, {'pairs' if task.pair else 'single texts'}{labels})"
