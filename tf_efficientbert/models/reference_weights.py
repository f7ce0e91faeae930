"""Weights under the names of the reference's PyTorch code."""

import re
from collections.abc import Mapping

import numpy as np

from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.models.task_model import TaskModel

_FFN = re.compile(r"encoder\.(\d+)\.all_ffn\.(\d+)\.(.+)")
_INNER_AXIS = {"dense1.weight": 0, "dense1.bias": 0, "dense2.weight": 1}
_HEADS = ("cls_pooler.", "classifier.", "lm_head.")


def load_reference_weights(model, state_dict: Mapping[str, np.ndarray]) -> None:
    """Sets a model's weights from a state dict of the reference, by its own names.

    A supernet-sized dict fits any of its candidates: networks beyond a layer's stack are ignored
    and wider feed-forward weights are sliced. A leading `module.` is dropped. A bare backbone
    ignores heads, any model ignores `lm_head`, and one without `fit_size` ignores `fit_dense`.

    Args:
        model: EfficientBert or TaskModel.
        state_dict: {name: array}, matrices as PyTorch keeps them, [out, in].

    Raises:
        ValueError: naming every other unknown, missing or mis-shaped entry. Nothing has been
            assigned then.
    """
    targets = _targets(model)
    given = {_our_spelling(name): np.asarray(array) for name, array in state_dict.items()}
    problems, values = [], {}
    for name, array in given.items():
        if name in targets:
            variable, is_matrix = targets[name]
            shape = tuple(variable.shape)[::-1] if is_matrix else tuple(variable.shape)
            value = _sliced_to_inner_width(name, array, shape)
            if value.shape != shape:
                problems.append(f"{name} has shape {array.shape}, which does not fit {shape}")
            values[name] = value.T if is_matrix else value
        elif not _may_be_ignored(name, model):
            problems.append(f"{name} is unknown")
    problems += [f"{name} is missing" for name in targets if name not in given]
    if problems:
        raise ValueError("the state dict does not fit the model: " + "; ".join(problems))
    for name, value in values.items():
        targets[name][0].assign(value)


def _our_spelling(name: str) -> str:
    # The reference's BERT has one network a layer and writes no index.
    return name.removeprefix("module.").replace(".ffn.", ".all_ffn.0.")


def _sliced_to_inner_width(name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    ffn = _FFN.fullmatch(name)
    axis = _INNER_AXIS.get(ffn[3]) if ffn else None
    if axis is None or array.ndim != len(shape):
        return array
    return array[(slice(None),) * axis + (slice(shape[axis]),)]


def _may_be_ignored(name: str, model) -> bool:
    backbone = _backbone(model)
    if name.startswith("lm_head.") or (backbone is model and name.startswith(_HEADS)):
        return True
    if name.startswith("fit_dense."):
        return backbone.fit_projection is None
    ffn = _FFN.fullmatch(name)
    if ffn and int(ffn[1]) < len(backbone.cells):
        return int(ffn[2]) >= len(backbone.cells[int(ffn[1])].feed_forwards)
    return False


def _backbone(model) -> EfficientBert:
    return model.backbone if isinstance(model, TaskModel) else model


def _targets(model) -> dict:
    """(variable, whether PyTorch keeps it transposed) by the reference's names."""
    backbone = _backbone(model)
    embedding = backbone.embedding
    targets = {
        "embeddings.token_embeddings.weight": (embedding.token_table, False),
        "embeddings.segment_embeddings.weight": (embedding.segment_table, False),
        "embeddings.position_embeddings.weight": (embedding.position_table, False),
    }

    def linear(name, kernel, bias):
        targets[f"{name}.weight"] = kernel, True
        targets[f"{name}.bias"] = bias, False

    def dense(name, layer):
        linear(name, layer.kernel, layer.bias)

    def layer_norm(name, layer):
        targets[f"{name}.weight"] = layer.gamma, False
        targets[f"{name}.bias"] = layer.beta, False

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
    return targets
