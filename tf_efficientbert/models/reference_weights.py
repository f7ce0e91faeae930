"""Loads weights by the names of the reference's PyTorch code."""

import re
from collections.abc import Mapping

import numpy as np

from tf_efficientbert.layers.trigram_embedding import PADDING_ID, TrigramEmbedding
from tf_efficientbert.models.task_model import TaskModel
from tf_efficientbert.models.torch_weights import assign_weights, reference_slots

_FFN = re.compile(r"encoder\.(\d+)\.all_ffn\.(\d+)\.(.+)")
_INNER_AXIS = {"dense1.weight": 0, "dense1.bias": 0, "dense2.weight": 1}
_HEADS = ("cls_pooler.", "classifier.", "lm_head.")


def load_reference_weights(
    model, state_dict: Mapping[str, np.ndarray], keep_padding_row: bool = False
) -> None:
    """Sets a model's weights from a state dict of the reference.

    A supernet's dict fits any of its candidates: networks beyond a layer's stack are ignored and
    wider feed-forward weights are sliced. A leading `module.` is dropped. A bare backbone ignores
    heads, any model ignores `lm_head`, and one without `fit_size` ignores `fit_dense`.

    In the reference, the neighbour after the last token is [PAD] if the text is padded, with an
    embedding that is not zero, and zero otherwise: its trigram models answer differently by
    padding. Here the row of [PAD] becomes zero, so that they do not.

    Args:
        model: EfficientBert or TaskModel.
        state_dict: {name: array}, matrices as in PyTorch, [out, in].
        keep_padding_row: bool, keep the trigram embedding's row of [PAD]. The outputs then equal
            the reference's for equally padded inputs, and depend on the padding. Weights trained by
            the reference have seen this row after most texts.

    Raises:
        ValueError: other entries are unknown, missing or have a wrong shape; the message names all
            of them. No weight has been changed.
    """
    slots, given = reference_slots(model), {}
    for spelling, value in state_dict.items():
        name, array = _our_spelling(spelling), np.asarray(value)
        if name in slots:
            given[name] = _sliced_to_inner_width(name, array, slots[name].shape)
        elif not _may_be_ignored(name, model):
            given[name] = array
    assign_weights(slots, given)
    backbone = model.backbone if isinstance(model, TaskModel) else model
    if isinstance(backbone.embedding, TrigramEmbedding) and not keep_padding_row:
        table = np.array(backbone.embedding.token_table)
        table[PADDING_ID] = 0
        backbone.embedding.token_table.assign(table)


def _our_spelling(name: str) -> str:
    # The reference's BERT has one network per layer and no index in its names.
    return name.removeprefix("module.").replace(".ffn.", ".all_ffn.0.")


def _sliced_to_inner_width(name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    ffn = _FFN.fullmatch(name)
    axis = _INNER_AXIS.get(ffn[3]) if ffn else None
    if axis is None or array.ndim != len(shape):
        return array
    sliced = array[(slice(None),) * axis + (slice(shape[axis]),)]
    return sliced if sliced.shape == shape else array


def _may_be_ignored(name: str, model) -> bool:
    backbone = model.backbone if isinstance(model, TaskModel) else model
    if name.startswith("lm_head.") or (backbone is model and name.startswith(_HEADS)):
        return True
    if name.startswith("fit_dense."):
        return backbone.fit_projection is None
    ffn = _FFN.fullmatch(name)
    if ffn and int(ffn[1]) < len(backbone.cells):
        return int(ffn[2]) >= len(backbone.cells[int(ffn[1])].feed_forwards)
    return False
