"""Reads a model from a Hugging Face folder, and names its weights there."""

import textwrap
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file

from tf_efficientbert.errors import UserError, first_line
from tf_efficientbert.models.huggingface_config import is_plain_bert, read_described
from tf_efficientbert.models.task_model import TaskModel
from tf_efficientbert.models.torch_weights import Slot, assign_weights, bert_slots
from tf_efficientbert.tasks import Task

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def weight_slots(model: TaskModel) -> dict[str, Slot]:
    """Returns every weight by its name in model.safetensors.

    A plain BERT has Hugging Face's names and matrices as [out, in]; another network has the
    variables' paths and matrices as they are.
    """
    if not is_plain_bert(model.backbone.architecture):
        return {variable.path: Slot(variable) for variable in model.weights}
    return bert_slots(model)


def is_huggingface_folder(folder: Path) -> bool:
    """Whether a folder has Hugging Face's files; a job's folder has only a config.json."""
    others = (folder / name for name in (WEIGHTS, "vocab.txt"))
    return (folder / CONFIG).is_file() and any(path.is_file() for path in others)


def read_huggingface_folder(folder: Path) -> tuple[TaskModel, Task, int]:
    """Reads network, task and max_tokens from a folder that `export.export_huggingface` wrote.

    Raises:
        UserError: a file is missing or damaged, or another program wrote the model.
    """
    described = read_described(folder / CONFIG)
    width = described.backbone.architecture.hidden_size
    head = described.task.new_head(width, described.head_dropout, name="head")
    model = TaskModel(described.backbone, head, name="task_model")
    path = folder / WEIGHTS
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        arrays = load_file(path)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(f"{path} is damaged and cannot be read: {first_line(error)}") from error
    try:
        assign_weights(weight_slots(model), arrays)
    except ValueError as error:
        raise UserError(f"{path}: {textwrap.shorten(str(error), 400)}") from error
    return model, described.task, described.max_tokens
