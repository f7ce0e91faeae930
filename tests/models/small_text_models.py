"""Small networks that can be asked in words, and words for them."""

import numpy as np

from tests.models.small_models import (
    MAX_POSITIONS,
    VOCABULARY_SIZE,
    small_architecture,
    small_backbone,
    small_task_model,
)
from tf_efficientbert.data.task import Examples, Task
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.models.text_model import TextModel

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS = tuple(f"word{i}" for i in range(VOCABULARY_SIZE - len(_SPECIAL)))
VOCABULARY = (*_SPECIAL, *WORDS)
LABELS = ("sad", "so so", "glad")
TASKS = {
    "classification": Task("custom", LABELS, pair=False),
    "pair": Task("custom", LABELS, pair=True),
    "regression": Task("custom", (), pair=False),
}


def small_text_model(kind="classification", architecture=None, seed=0, **arguments) -> TextModel:
    """A "classification" of three classes, a "pair" classification or a "regression"."""
    network = "classification" if kind == "pair" else kind
    model = small_task_model(network, architecture, seed, **arguments)
    return TextModel(model, Tokenizer(VOCABULARY), TASKS[kind], MAX_POSITIONS)


def small_supernet(layers=6, **arguments) -> TextModel:
    """A supernet without a task."""
    ordinary = ["linear1_1(gelu(linear1_1(x,wb1)),wb2)"] * layers
    backbone = small_backbone(small_architecture(ordinary).supernet(), **arguments)
    return TextModel(backbone, Tokenizer(VOCABULARY), None, MAX_POSITIONS)


def small_examples(task: Task, count=9, seed=0) -> Examples:
    """Texts of one to twenty words, so that some are cut, and random labels."""
    draws = np.random.default_rng(seed)

    def texts():
        return tuple(" ".join(draws.choice(WORDS, draws.integers(1, 21))) for _ in range(count))

    first, second = texts(), texts() if task.pair else None
    if task.is_regression:
        labels = draws.normal(size=count).astype(np.float32)
    else:
        labels = draws.integers(0, task.num_outputs, count).astype(np.int32)
    return Examples(first, second, labels)


def write_examples(path, task: Task, examples: Examples) -> str:
    """Writes them as a custom task's .tsv file; returns its path."""
    columns = {"sentence": examples.sentences}
    if task.pair:
        columns["sentence2"] = examples.second_sentences
    labels = examples.labels.tolist()
    columns["label"] = labels if task.is_regression else [task.labels[i] for i in labels]
    rows = [columns, *zip(*columns.values(), strict=True)]
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows), "utf-8")
    return str(path)
