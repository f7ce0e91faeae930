"""Small random models in tests/fixtures/golden, with outputs of the authors' PyTorch code.

Each file contains inputs (`in/`), the state dict (`w/`) and outputs (`out/`).
"""

import functools
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tf_efficientbert.architecture import Architecture, CellSpec
from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.models.reference_weights import load_reference_weights
from tf_efficientbert.models.task_model import TaskModel
from tf_efficientbert.tasks import ClassificationHead, SpanHead

GOLDEN = Path(__file__).parent.parent / "fixtures" / "golden"

MODELS = (
    "efficientbert_mnli_all_plain",
    "efficientbert_mnli_odd",
    "efficientbert_mnli_published_a",
    "efficientbert_mnli_published_b",
    "efficientbert_squad1.1_published_a",
    "efficientbert_sts-b_published_a",
    "efficient_tinybert_mnli_all_plain",
    "efficient_tinybert_mnli_published_a",
    "efficient_tinybert_mnli_published_b",
    "efficient_tinybert_mnli_wide",
    "supernet_mnli",
    "teacher_bert_mnli",
)


class Golden(NamedTuple):
    """The content of one file, `inputs` under the names that our models take."""

    meta: dict
    inputs: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]

    def sequence(self, prefix: str) -> list[np.ndarray]:
        """The outputs `prefix`0, `prefix`1, ..."""
        names = [f"{prefix}{i}" for i in range(len(self.outputs))]
        return [self.outputs[name] for name in names if name in self.outputs]


@functools.cache
def read(name: str) -> Golden:
    with np.load(GOLDEN / f"{name}.npz") as stored:
        meta = json.loads(str(stored["meta"]))

        def part(prefix):
            return {k.removeprefix(prefix): stored[k] for k in stored if k.startswith(prefix)}

        inputs, weights, outputs = part("in/"), part("w/"), part("out/")
    inputs["padding_mask"] = inputs.pop("valid_mask")
    return Golden(meta, inputs, weights, outputs)


def architecture_of(golden: Golden) -> Architecture:
    meta, tables = golden.meta, "embeddings.token_embeddings.weight"
    trigram = "embeddings.dense.weight" in golden.weights
    ordinary = [str(CellSpec.ordinary(stack=meta.get("stacked_ffn", 1)))] * meta["layers"]
    return Architecture.from_formulas(
        meta.get("architecture", ordinary),
        hidden_size=meta["hidden_size"],
        ffn_width=meta["ffn_size"],
        num_heads=meta["heads"],
        embedding_size=golden.weights[tables].shape[1],
        embedding="trigram" if trigram else "bert",
        channel_mismatch=meta.get("channel_mismatch", "pad").split()[0],
    )


def backbone_for(golden: Golden, **changes) -> EfficientBert:
    """A backbone of the file's sizes, without its weights."""
    arguments = {
        "architecture": architecture_of(golden),
        "vocabulary_size": len(golden.weights["embeddings.token_embeddings.weight"]),
        "max_positions": len(golden.weights["embeddings.position_embeddings.weight"]),
        "fit_size": golden.meta.get("fit_size"),
    }
    return EfficientBert(**{**arguments, **changes})


def task_model_for(golden: Golden, **changes) -> TaskModel:
    """A model of the file's sizes with its task's head, without its weights."""
    backbone = backbone_for(golden, **changes)
    width = backbone.architecture.hidden_size
    if "start_logits" in golden.outputs:
        return TaskModel(backbone, SpanHead(width))
    return TaskModel(backbone, ClassificationHead(width, len(golden.weights["classifier.bias"])))


def task_model(name: str) -> TaskModel:
    """The stored model, with the reference's row of [PAD]."""
    golden = read(name)
    model = task_model_for(golden)
    load_reference_weights(model, golden.weights, keep_padding_row=True)
    return model
