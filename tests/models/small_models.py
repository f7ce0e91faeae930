"""Small networks with random weights, and batches for them."""

import numpy as np

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.models.task_model import TaskModel
from tf_efficientbert.tasks import ClassificationHead, SpanHead

VOCABULARY_SIZE = 40
MAX_POSITIONS = 16
# Formulas with stacks, smaller ratios and sides of different width.
FORMULAS = (
    "tanh(linear3_2(gelu(linear3_2(x,wb1)),wb2))",
    "linear1_2(relu(mul(linear1_2(x,wb1),x)),wb2)",
    "leaky_relu(linear2_1(gelu(linear2_1(max(x,tanh(x)),wb1)),wb2))",
)


def small_architecture(formulas=FORMULAS, **changes) -> Architecture:
    sizes = {"hidden_size": 24, "ffn_width": 24, "num_heads": 4, "embedding_size": 8}
    return Architecture.from_formulas(formulas, **{**sizes, **changes})


def small_backbone(architecture=None, seed=0, **arguments) -> EfficientBert:
    """A backbone with random weights, except for the row of [PAD], which stays zero."""
    sizes = {"vocabulary_size": VOCABULARY_SIZE, "max_positions": MAX_POSITIONS}
    backbone = EfficientBert(architecture or small_architecture(), **{**sizes, **arguments})
    return randomize(backbone, seed)


def small_task_model(kind="classification", architecture=None, seed=0, **arguments) -> TaskModel:
    """A classification or multi-label model of three classes, a regression or a span model."""
    backbone = small_backbone(architecture, seed, **arguments)
    width, dtype = backbone.architecture.hidden_size, arguments.get("dtype")
    if kind == "span":
        head = SpanHead(width, dtype=dtype)
    else:
        head = ClassificationHead(width, 1 if kind == "regression" else 3, dtype=dtype)
    model = TaskModel(backbone, head)
    randomize(model.head, seed + 1)
    return model


def randomize(layer, seed=0):
    """Draws every weight at random, also biases and scales, which start at zero and one."""
    draws = np.random.default_rng(seed)
    for weight in layer.weights:
        value = draws.normal(scale=0.2, size=weight.shape)
        if weight.name == "gamma":
            value += 1
        if weight.name == "token_table":
            value[0] = 0
        weight.assign(value)
    return layer


def random_inputs(lengths=(7, 3, 5), tokens=None, seed=0) -> dict[str, np.ndarray]:
    """A batch of sequences of these `lengths`, padded to `tokens` or to the longest.

    The same seed gives the same real tokens for any padding.
    """
    draws = np.random.default_rng(seed)
    shape = len(lengths), tokens or max(lengths)
    inputs = {
        name: np.zeros(shape, np.int32) for name in ("token_ids", "segment_ids", "padding_mask")
    }
    for row, length in enumerate(lengths):
        inputs["token_ids"][row, :length] = draws.integers(1, VOCABULARY_SIZE, length)
        inputs["segment_ids"][row, length // 2 : length] = 1
        inputs["padding_mask"][row, :length] = 1
    return inputs


def weight_values(layer) -> dict[str, np.ndarray]:
    """A copy of every weight, by its path."""
    return {weight.path: weight.numpy() for weight in layer.weights}
