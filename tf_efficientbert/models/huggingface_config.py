"""Reads and writes the config.json of a Hugging Face folder."""

import json
from pathlib import Path
from typing import NamedTuple

from tf_efficientbert.architecture import Architecture, CellSpec
from tf_efficientbert.data.text_file import read_json, shown
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.models.task_model import TaskModel
from tf_efficientbert.tasks import LABELLED_KINDS, Task, task_from_dict

BERT, STUDENT = "bert", "efficientbert"  # model_type: transformers knows only the first
_OUR_KEY = "tf_efficientbert"
_FIGURE = ("score",)  # Hugging Face also names a regression's output
_KINDS = {kind.problem_type: kind for kind in LABELLED_KINDS.values()}
_EXACT_GELU = {"gelu": True, "gelu_new": False, "gelu_pytorch_tanh": False}

_DEFAULTS = {
    "model_type": BERT,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "position_embedding_type": "absolute",
    "is_decoder": False,
}


class Described(NamedTuple):
    """A model with a task, as described by a folder's config.json."""

    backbone: EfficientBert
    head_dropout: float
    task: Task
    max_tokens: int


def _is_size(value) -> bool:
    return type(value) is int and value > 0


def _is_rate(value) -> bool:
    return type(value) in (int, float) and 0 <= value < 1


def _are_names(value) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _are_labels(value) -> bool:
    return (
        isinstance(value, dict)
        and len(value) > 0
        and set(value) == {str(i) for i in range(len(value))}  # in any order: "10" may precede "2"
        and all(isinstance(label, str) for label in value.values())
    )


_SIZE = "a whole number above 0", _is_size
# Expected values: key -> (in words, test).
_NETWORK = {
    "hidden_act": (f"one of {', '.join(_EXACT_GELU)}", lambda value: value in list(_EXACT_GELU)),
    "layer_norm_eps": ("a number above 0", lambda v: isinstance(v, (int, float)) and v > 0),
    "type_vocab_size": ("2", lambda value: value == 2),
    "vocab_size": _SIZE,
    "max_position_embeddings": _SIZE,
}
_BERT = {
    "model_type": (f"'{BERT}'", lambda value: value == BERT),
    **_NETWORK,
    "hidden_size": _SIZE,
    "intermediate_size": _SIZE,
    "num_attention_heads": _SIZE,
    "num_hidden_layers": _SIZE,
    "position_embedding_type": ("'absolute'", lambda value: value == "absolute"),
    "is_decoder": ("false", lambda value: value is False),
}
_STUDENT = {
    **_NETWORK,
    "architecture": ("an architecture's JSON object", lambda value: isinstance(value, dict)),
}
_CLASSIFIER = {
    "hidden_dropout_prob": ("a number from 0 to below 1", _is_rate),
    "classifier_dropout": (
        "a number from 0 to below 1, or null for hidden_dropout_prob",
        lambda value: value is None or _is_rate(value),
    ),
    "problem_type": (
        f"one of {', '.join(_KINDS)}",
        lambda value: value in list(_KINDS),
    ),
    "id2label": ("""the labels as {"0": name, "1": name, ...}""", _are_labels),
    _OUR_KEY: ("the object that trainers.export_model writes", lambda v: isinstance(v, dict)),
}
_OURS = {
    "task": ("the task's name", lambda value: isinstance(value, str)),
    "pair": ("true or false", lambda value: isinstance(value, bool)),
    "metrics": ("a list of names", _are_names),
    "max_tokens": _SIZE,
}


def read_bert_config(path: Path) -> dict:
    """Reads a BERT's config.json and fills in the defaults of Hugging Face's BERT.

    Raises:
        UserError: the file cannot be read, or a value is invalid.
    """
    return checked_bert_config(path, _read_object(path))


def checked_bert_config(path: Path, config: dict) -> dict:
    """Returns the content of a config.json that describes a BERT we can run.

    Args:
        path: of the file, for messages.
        config: with Hugging Face's keys.

    Raises:
        UserError: a value is missing or invalid.
    """
    config = {**_DEFAULTS, **config}
    _check(path, config, _BERT)
    heads, width = config["num_attention_heads"], config["hidden_size"]
    if width % heads:
        raise UserError(
            f"{path}: hidden_size {width} is not a multiple of num_attention_heads {heads}"
        )
    return config


def architecture_of(config: dict) -> Architecture:
    """Returns the architecture of a BERT's config.json, see `read_bert_config`."""
    return Architecture(
        hidden_size=config["hidden_size"],
        ffn_width=config["intermediate_size"],
        num_heads=config["num_attention_heads"],
        embedding_size=config["hidden_size"],
        embedding="bert",
        channel_mismatch="pad",
        cells=(CellSpec.ordinary(),) * config["num_hidden_layers"],
    )


def backbone_of(config: dict, architecture: Architecture, **arguments) -> EfficientBert:
    """Returns an untrained backbone with the sizes, GELU form and epsilon of a config.json.

    Args:
        arguments: further arguments of EfficientBert.
    """
    return EfficientBert(
        architecture,
        vocabulary_size=config["vocab_size"],
        max_positions=config["max_position_embeddings"],
        layer_norm_epsilon=config["layer_norm_eps"],
        exact_gelu=_EXACT_GELU[config["hidden_act"]],
        **arguments,
    )


def is_plain_bert(architecture: Architecture) -> bool:
    """Whether the network is an ordinary BERT, which other programs can run."""
    ordinary = (CellSpec.ordinary(),) * architecture.num_layers
    return architecture.embedding == "bert" and architecture.cells == ordinary


def config_of(model: TaskModel, task: Task, max_tokens: int) -> dict:
    """Returns the config.json of a model, with Hugging Face's keys where they exist.

    A plain BERT is described as transformers' BertForSequenceClassification, another network by
    its `Architecture`. Values without a Hugging Face key are under "tf_efficientbert".
    """
    backbone = model.backbone
    labels = task.labels or _FIGURE
    return {
        **_sizes_of(backbone.architecture),
        "vocab_size": backbone.vocabulary_size,
        "max_position_embeddings": backbone.max_positions,
        "type_vocab_size": 2,
        "pad_token_id": 0,
        "hidden_act": "gelu" if backbone.exact_gelu else "gelu_new",
        "layer_norm_eps": backbone.layer_norm_epsilon,
        "hidden_dropout_prob": backbone.dropout,
        "attention_probs_dropout_prob": backbone.dropout,
        "classifier_dropout": model.head.dropout,
        "dtype": "float32",
        "problem_type": task.problem_type,
        "num_labels": len(labels),
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
        _OUR_KEY: {
            "task": task.name,
            "max_tokens": max_tokens,
            **{k: v for k, v in task.to_dict().items() if k not in ("kind", "name", "labels")},
        },
    }


def _sizes_of(architecture: Architecture) -> dict:
    if not is_plain_bert(architecture):
        described = json.loads(architecture.to_json())
        names = {"model_type": STUDENT, "architectures": ["EfficientBertForSequenceClassification"]}
        return {**names, "architecture": described}
    return {
        "model_type": BERT,
        "architectures": ["BertForSequenceClassification"],
        "hidden_size": architecture.hidden_size,
        "intermediate_size": architecture.ffn_width,
        "num_attention_heads": architecture.num_heads,
        "num_hidden_layers": architecture.num_layers,
    }


def read_described(path: Path) -> Described:
    """Returns the untrained model that a config.json by `config_of` describes.

    Raises:
        UserError: the file cannot be read, a value is missing or invalid, or another program
            wrote it.
    """
    given = _read_object(path)
    model_type = given.get("model_type")
    if model_type not in (BERT, STUDENT):
        expected = f"expected '{BERT}' or '{STUDENT}'"
        raise UserError(f"{path}: model_type is {shown(model_type)}, {expected}")
    if model_type == BERT:
        config = read_bert_config(path)
        architecture = architecture_of(config)
    else:
        config = given
        _check(path, config, _STUDENT)
        try:
            architecture = Architecture.from_json(json.dumps(config["architecture"]))
        except ValueError as error:
            raise UserError(f"{path}: architecture: {error}") from error
    config = {"hidden_dropout_prob": 0.1, **config}
    _check(path, config, _CLASSIFIER)
    ours = config[_OUR_KEY]
    _check(path, ours, _OURS, f"{_OUR_KEY}.")
    names, dropout = config["id2label"], config["hidden_dropout_prob"]
    labels = tuple(names[str(i)] for i in range(len(names)))
    kind = _KINDS[config["problem_type"]]
    try:
        task = task_from_dict(
            {
                **{k: v for k, v in ours.items() if k not in ("task", "max_tokens")},
                "kind": kind.kind,
                "name": ours["task"],
                "labels": labels if kind.has_classes else (),
            }
        )
    except (UserError, TypeError) as error:
        raise UserError(f"{path}: {error}") from error
    head_dropout = config.get("classifier_dropout")
    return Described(
        backbone_of(config, architecture, dropout=dropout, name="efficient_bert"),
        dropout if head_dropout is None else head_dropout,
        task,
        ours["max_tokens"],
    )


def _read_object(path: Path) -> dict:
    given = read_json(path)
    if not isinstance(given, dict):
        raise UserError(f"{path} holds no JSON object")
    return given


def _check(path: Path, config: dict, expected: dict, prefix: str = "") -> None:
    for key, (what, is_good) in expected.items():
        if not is_good(config.get(key)):
            value = shown(config.get(key))
            raise UserError(f"{path}: {prefix}{key} is {value}, expected {what}")
