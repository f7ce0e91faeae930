"""Small text models, and texts for them."""

import json

import numpy as np

from tests.models.small_models import (
    MAX_POSITIONS,
    VOCABULARY_SIZE,
    small_architecture,
    small_backbone,
    small_task_model,
)
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.tasks import Classification, LabelledTask, MultiLabel, Regression

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS = tuple(f"word{i}" for i in range(VOCABULARY_SIZE - len(_SPECIAL)))
VOCABULARY = (*_SPECIAL, *WORDS)
# Sorted by code points, as when read from a file.
LABELS = ('sad, "very"', "so so", "\u0632\u06cc\u0628\u0627 😀")
TASKS = {
    "classification": Classification("custom", LABELS, pair=False),
    "pair": Classification("custom", LABELS, pair=True),
    "regression": Regression("custom", (), pair=False),
    "multilabel": MultiLabel("custom", LABELS, pair=False, thresholds=(0.5, 0.4, 0.6)),
}


def small_text_model(kind="classification", architecture=None, seed=0, **arguments) -> TextModel:
    """A "classification", "pair" or "multilabel" model of three classes, or a "regression"."""
    network = "regression" if kind == "regression" else "classification"
    model = small_task_model(network, architecture, seed, **arguments)
    return TextModel(model, Tokenizer(VOCABULARY), TASKS[kind], MAX_POSITIONS)


def small_supernet(layers=6, **arguments) -> TextModel:
    """A supernet without a task."""
    ordinary = ["linear1_1(gelu(linear1_1(x,wb1)),wb2)"] * layers
    backbone = small_backbone(small_architecture(ordinary).supernet(), **arguments)
    return TextModel(backbone, Tokenizer(VOCABULARY), None, MAX_POSITIONS)


def small_examples(task: LabelledTask, count=9, seed=0) -> Examples:
    """Texts of one to twenty words, so that some are cut, and random labels."""
    draws = np.random.default_rng(seed)

    def texts():
        return tuple(" ".join(draws.choice(WORDS, draws.integers(1, 21))) for _ in range(count))

    first, second = texts(), texts() if task.pair else None
    return Examples(first, second, random_labels(task, draws, count))


def random_labels(task: LabelledTask, draws: np.random.Generator, count: int) -> np.ndarray:
    """Targets of `count` examples, with every label if there are enough."""
    if not task.has_classes:
        return draws.normal(size=count).astype(np.float32)
    if not task.one_of_classes:
        return draws.integers(0, 2, (count, len(task.labels))).astype(np.float32)
    return draws.integers(0, len(task.labels), count).astype(np.int32)


def write_lines(path, lines) -> str:
    """Writes a file of lines; returns its path."""
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return str(path)


def write_examples(path, task: LabelledTask, examples: Examples) -> str:
    """Writes examples as a custom task's .tsv file; returns its path."""
    columns = dict(zip(("text", "second_text"), examples.columns, strict=False))
    columns["label"] = [task.shown(target) for target in examples.labels]
    rows = [columns, *zip(*columns.values(), strict=True)]
    return write_lines(path, ("\t".join(map(str, row)) for row in rows))


def write_predictions(path, model: TextModel, examples: Examples) -> str:
    """Writes a model's predictions for the examples to a file; returns its path."""
    said = np.asarray(model.task.probabilities(model.logits(model.encode(examples))), float)
    rows = [
        {"text": text, "probabilities": dict(zip(model.labels, row.tolist(), strict=True))}
        for text, row in zip(examples.texts, said, strict=True)
    ]
    return write_lines(path, map(json.dumps, rows))
