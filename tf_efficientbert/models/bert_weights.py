"""The weights in a BERT's folder, by Hugging Face's names, whatever program wrote them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from tf_efficientbert.data.text_file import read_json
from tf_efficientbert.errors import UserError, first_line
from tf_efficientbert.models import keras_hub_preset
from tf_efficientbert.models.onnx_weights import find_onnx, read_onnx_weights

__all__ = ["read_bert_weights"]

_SAFETENSORS = "model.safetensors"
_SHARDS = "model.safetensors.index.json"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_WORDS = "embeddings.word_embeddings.weight"
# Names of the first published BERTs.
_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


def read_bert_weights(folder: str | Path) -> dict[str, np.ndarray]:
    """Reads model.safetensors or its shards, an ONNX file, or a keras_hub preset.

    Returns: {name: float32 array}; the encoder's names start with "bert.", matrices are [out, in].
        Other parts of the model, such as a classifier, have their own names.

    Raises:
        UserError: no such file is there, it is damaged, or it is not a BERT's.
    """
    folder = Path(folder)
    if (folder / _SAFETENSORS).is_file():
        path = folder / _SAFETENSORS
        arrays = _read_safetensors(path)
    elif (folder / _SHARDS).is_file():
        path = folder / _SHARDS
        arrays = _read_shards(path)
    elif keras_hub_preset.is_preset(folder):
        path = folder / keras_hub_preset.WEIGHTS
        arrays = keras_hub_preset.read_weights(folder)
    elif found := find_onnx(folder):
        path, arrays = found, read_onnx_weights(found)
    else:
        raise UserError(f"teacher folder {folder} has no {_SAFETENSORS}{_hint(folder)}")
    return _prefixed(arrays, path)


def _hint(folder: Path) -> str:
    pickles = [name for name in _PICKLES if (folder / name).is_file()]
    if not pickles:
        return ", no shards of it, and no model.onnx"
    return (
        f", but {pickles[0]}, a pickle, which could run any code when it is read; convert it where "
        "PyTorch is installed: AutoModel.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)"
    )


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(path)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read: {first_line(error)}") from error


def _read_shards(index: Path) -> dict[str, np.ndarray]:
    described = read_json(index)
    places = described.get("weight_map") if isinstance(described, dict) else None
    if not isinstance(places, dict) or not all(isinstance(n, str) for n in places.values()):
        raise UserError(f"{index} has no weight_map from names to files")
    names = sorted({index.parent / name for name in places.values()})
    arrays = {}
    for path in names:
        arrays |= _read_safetensors(path)
    return arrays


def _prefixed(arrays: Mapping[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays with today's names; the prefix of the encoder varies between models."""
    prefix = next((name.removesuffix(_WORDS) for name in arrays if name.endswith(_WORDS)), None)
    if prefix is None:
        raise UserError(f"{path} holds no BERT: it has no {_WORDS}")

    def renamed(name: str) -> str:
        for old, new in _OLD_NAMES.items():
            name = name.replace(old, new)
        if prefix and not name.startswith(prefix):
            return name
        return f"bert.{name.removeprefix(prefix)}"

    return {renamed(name): np.asarray(array, np.float32) for name, array in arrays.items()}
