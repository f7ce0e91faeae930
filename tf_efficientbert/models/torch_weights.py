"""A model's weights by name, in PyTorch's layout."""

from collections.abc import Mapping
from typing import NamedTuple

import keras
import numpy as np

from tf_efficientbert.models.task_model import TaskModel

# Replacements, in order: the reference's names -> transformers' BertForSequenceClassification.
_BERT_NAMES = {
    "embeddings.token_embeddings": "embeddings.word_embeddings",
    "embeddings.segment_embeddings": "embeddings.token_type_embeddings",
    "layernorm": "LayerNorm",
    "encoder.": "encoder.layer.",
    ".attention.query": ".attention.self.query",
    ".attention.key": ".attention.self.key",
    ".attention.value": ".attention.self.value",
    ".attention.dense": ".attention.output.dense",
    ".attention.LayerNorm": ".attention.output.LayerNorm",
    ".all_ffn.0.dense1": ".intermediate.dense",
    ".all_ffn.0.dense2": ".output.dense",
    ".all_ffn.0.LayerNorm": ".output.LayerNorm",
    "cls_pooler": "pooler",
}


class Slot(NamedTuple):
    """The variable for a named array; PyTorch stores the matrix of a linear map as [out, in]."""

    variable: keras.Variable
    is_matrix: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the named array."""
        shape = tuple(self.variable.shape)
        return shape[::-1] if self.is_matrix else shape


def state_dict(slots: Mapping[str, Slot]) -> dict[str, np.ndarray]:
    """Returns the arrays in the form that `assign_weights` takes."""
    values = {name: keras.ops.convert_to_numpy(slot.variable) for name, slot in slots.items()}
    # Contiguous, because safetensors writes the buffer, not the view.
    return {
        name: np.ascontiguousarray(value.T if slots[name].is_matrix else value)
        for name, value in values.items()
    }


def assign_weights(slots: Mapping[str, Slot], arrays: Mapping[str, np.ndarray]) -> None:
    """Sets the variables behind `slots` from arrays of the same names.

    Raises:
        ValueError: entries are unknown, missing or have a wrong shape; the message names all of
            them. No weight has been changed.
    """
    problems = []
    for name, array in arrays.items():
        if name not in slots:
            problems.append(f"{name} is unknown")
        elif array.shape != slots[name].shape:
            shape = slots[name].shape
            problems.append(f"{name} has shape {array.shape}, which does not fit {shape}")
    problems += [f"{name} is missing" for name in slots if name not in arrays]
    if problems:
        raise ValueError("the state dict does not fit the model: " + "; ".join(problems))
    for name, array in arrays.items():
        slots[name].variable.assign(array.T if slots[name].is_matrix else array)


def reference_slots(model) -> dict[str, Slot]:
    """Returns every weight of an EfficientBert or TaskModel by the reference's names."""
    backbone = model.backbone if isinstance(model, TaskModel) else model
    embedding = backbone.embedding
    slots = {
        "embeddings.token_embeddings.weight": Slot(embedding.token_table),
        "embeddings.segment_embeddings.weight": Slot(embedding.segment_table),
        "embeddings.position_embeddings.weight": Slot(embedding.position_table),
    }

    def linear(name, kernel, bias):
        slots[f"{name}.weight"] = Slot(kernel, is_matrix=True)
        slots[f"{name}.bias"] = Slot(bias)

    def dense(name, layer):
        linear(name, layer.kernel, layer.bias)

    def layer_norm(name, layer):
        slots[f"{name}.weight"] = Slot(layer.gamma)
        slots[f"{name}.bias"] = Slot(layer.beta)

    layer_norm("embeddings.layernorm", embedding.layer_norm)
    if backbone.architecture.embedding == "trigram":
        dense("embeddings.dense", embedding.projection)
    for i, (attention, cell) in enumerate(zip(backbone.attentions, backbone.cells, strict=True)):
        name = f"encoder.{i}.attention"
        dense(f"{name}.query", attention.query)
        dense(f"{name}.key", attention.key)
        dense(f"{name}.value", attention.value)
        dense(f"{name}.dense", attention.output_projection)
        layer_norm(f"{name}.layernorm", attention.layer_norm)
        for j, ffn in enumerate(cell.feed_forwards):
            name = f"encoder.{i}.all_ffn.{j}"
            linear(f"{name}.dense1", ffn.kernel_1, ffn.bias_1)
            linear(f"{name}.dense2", ffn.kernel_2, ffn.bias_2)
            layer_norm(f"{name}.layernorm", ffn.layer_norm)
    if backbone.fit_projection:
        dense("fit_dense", backbone.fit_projection)
    if isinstance(model, TaskModel):
        if hasattr(model.head, "pooler"):
            dense("cls_pooler.dense", model.head.pooler)
        dense("classifier", model.head.classifier)
    return slots


def bert_slots(model) -> dict[str, Slot]:
    """Returns every weight of an ordinary BERT by transformers' names: "bert.…", "classifier.…"."""
    return {_bert_name(name): slot for name, slot in reference_slots(model).items()}


def _bert_name(name: str) -> str:
    for ours, theirs in _BERT_NAMES.items():
        name = name.replace(ours, theirs)
    return name if name.startswith("classifier.") else f"bert.{name}"
