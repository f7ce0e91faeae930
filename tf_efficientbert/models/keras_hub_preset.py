"""A BERT in a keras_hub preset's folder, in Hugging Face's terms."""

from pathlib import Path

import numpy as np

from tf_efficientbert.data.text_file import read_json, shown
from tf_efficientbert.errors import UserError, first_line

__all__ = ["WEIGHTS", "is_preset", "read_config", "read_weights"]

WEIGHTS = "model.weights.h5"
_CONFIG = "config.json"
_KEYS = {
    "vocabulary_size": "vocab_size",
    "hidden_dim": "hidden_size",
    "intermediate_dim": "intermediate_size",
    "num_heads": "num_attention_heads",
    "num_layers": "num_hidden_layers",
    "max_sequence_length": "max_position_embeddings",
    "num_segments": "type_vocab_size",
}
_CLASS = "BertBackbone"


def is_preset(folder: Path) -> bool:
    """Whether keras_hub's `save_to_preset` wrote the folder."""
    return (folder / WEIGHTS).is_file() and (folder / _CONFIG).is_file()


def read_config(folder: Path) -> dict:
    """Returns the preset's config.json with Hugging Face's keys.

    Raises:
        UserError: the file cannot be read, or the preset is not a BERT encoder.
    """
    path = folder / _CONFIG
    described = read_json(path)
    kind = described.get("class_name") if isinstance(described, dict) else None
    if kind != _CLASS:
        raise UserError(f"{path}: the preset is a {kind}, expected a {_CLASS}")
    sizes = described.get("config")
    if not isinstance(sizes, dict):
        raise UserError(f"{path}: config is {shown(sizes)}, expected an object")
    # keras_hub's BERT has both built in.
    fixed = {"hidden_act": "gelu_new", "layer_norm_eps": 1e-12}
    return {**fixed, **{theirs: sizes.get(ours) for ours, theirs in _KEYS.items()}}


def read_weights(folder: Path) -> dict[str, np.ndarray]:
    """Returns the weights by Hugging Face's names, matrices as [out, in].

    Raises:
        UserError: the weights are missing or damaged.
    """
    import keras_hub  # slow to import, and only needed here

    try:
        source = keras_hub.models.BertBackbone.from_preset(str(folder))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}: {WEIGHTS} cannot be read: {first_line(error)}") from error
    weights = {
        f"embeddings.{ours}_embeddings.weight": source.get_layer(f"{theirs}_embedding").weights[0]
        for ours, theirs in (
            ("word", "token"),
            ("position", "position"),
            ("token_type", "segment"),
        )
    }

    def norm(name: str, layer) -> None:
        weights[f"{name}.LayerNorm.weight"], weights[f"{name}.LayerNorm.bias"] = layer.weights

    def linear(name: str, layer) -> None:
        kernel, bias = (np.asarray(weight) for weight in layer.weights)
        bias = bias.reshape(-1)  # attention splits dimensions into heads
        weights[f"{name}.weight"] = kernel.reshape(-1, len(bias)).T
        weights[f"{name}.bias"] = bias

    norm("embeddings", source.get_layer("embeddings_layer_norm"))
    for i in range(source.num_layers):
        block, layer = source.get_layer(f"transformer_layer_{i}"), f"encoder.layer.{i}"
        attention = block._self_attention_layer
        for part in ("query", "key", "value"):
            linear(f"{layer}.attention.self.{part}", getattr(attention, f"{part}_dense"))
        linear(f"{layer}.attention.output.dense", attention.output_dense)
        norm(f"{layer}.attention.output", block._self_attention_layer_norm)
        linear(f"{layer}.intermediate.dense", block._feedforward_intermediate_dense)
        linear(f"{layer}.output.dense", block._feedforward_output_dense)
        norm(f"{layer}.output", block._feedforward_layer_norm)
    linear("pooler.dense", source.get_layer("pooled_dense"))
    return {name: np.asarray(weight) for name, weight in weights.items()}
