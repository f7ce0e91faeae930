"""A BERT folder in Hugging Face's format with random weights, and its evaluation in numpy."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tests.layers.numpy_layers import attend, gelu_exact, gelu_tanh, layer_norm

CONFIG = {
    "model_type": "bert",
    "vocab_size": 31,
    "hidden_size": 20,
    "intermediate_size": 28,
    "num_attention_heads": 5,
    "num_hidden_layers": 3,
    "max_position_embeddings": 11,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
}


def random_weights(config: dict) -> dict[str, np.ndarray]:
    """The state dict of a `BertModel`, matrices as [out, in]."""
    draws, weights = np.random.default_rng(11), {}
    hidden, inner = config["hidden_size"], config["intermediate_size"]

    def drawn(*shape, around=0.0):
        return draws.normal(around, 0.3, shape).astype("float32")

    def linear(name, inputs, outputs):
        weights[f"{name}.weight"] = drawn(outputs, inputs)
        weights[f"{name}.bias"] = drawn(outputs)

    def norm(name):
        weights[f"{name}.LayerNorm.weight"] = drawn(hidden, around=1.0)
        weights[f"{name}.LayerNorm.bias"] = drawn(hidden)

    for name, rows in (
        ("word", config["vocab_size"]),
        ("position", config["max_position_embeddings"]),
        ("token_type", config["type_vocab_size"]),
    ):
        weights[f"embeddings.{name}_embeddings.weight"] = drawn(rows, hidden)
    norm("embeddings")
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        for part in ("query", "key", "value"):
            linear(f"{layer}.attention.self.{part}", hidden, hidden)
        linear(f"{layer}.attention.output.dense", hidden, hidden)
        norm(f"{layer}.attention.output")
        linear(f"{layer}.intermediate.dense", hidden, inner)
        linear(f"{layer}.output.dense", inner, hidden)
        norm(f"{layer}.output")
    linear("pooler.dense", hidden, hidden)
    return weights


def write_folder(folder: Path, config: dict, weights: dict[str, np.ndarray] | None) -> Path:
    """Writes config.json, vocab.txt and, if given, model.safetensors."""
    folder.mkdir(exist_ok=True)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    pieces = [*special, *(f"Piece{i}" for i in range(4, CONFIG["vocab_size"]))]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", "utf-8")
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    if weights is not None:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def evaluate(config: dict, weights: dict[str, np.ndarray], inputs: dict[str, np.ndarray]):
    """Computes (hidden states, attention scores before softmax) in float64 numpy."""
    double = {name: value.astype(float) for name, value in weights.items()}
    gelu = {"gelu": gelu_exact, "gelu_new": gelu_tanh}[config["hidden_act"]]

    def linear(name):
        return double[f"{name}.weight"].T, double[f"{name}.bias"]

    def norm(name, x):
        part = f"{name}.LayerNorm"
        scale, offset = double[f"{part}.weight"], double[f"{part}.bias"]
        return layer_norm(x, scale, offset, config["layer_norm_eps"])

    ids = inputs["token_ids"]
    x = double["embeddings.word_embeddings.weight"][ids]
    x = x + double["embeddings.token_type_embeddings.weight"][inputs["segment_ids"]]
    x = norm("embeddings", x + double["embeddings.position_embeddings.weight"][: ids.shape[1]])
    states, all_scores = [x], []
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        names = [f"{layer}.attention.self.{part}" for part in ("query", "key", "value")]
        names.append(f"{layer}.attention.output.dense")
        heads = config["num_attention_heads"]
        update, scores = attend(x, inputs["padding_mask"], *map(linear, names), heads)
        x = norm(f"{layer}.attention.output", x + update)
        (w1, b1), (w2, b2) = linear(f"{layer}.intermediate.dense"), linear(f"{layer}.output.dense")
        x = norm(f"{layer}.output", x + gelu(x @ w1 + b1) @ w2 + b2)
        states.append(x)
        all_scores.append(scores)
    return states, all_scores
