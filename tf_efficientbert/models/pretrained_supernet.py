"""Supernets by folder or name; "pretrained" is the one that comes with this package."""

import hashlib
import json
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.errors import UserError
from tf_efficientbert.models import text_model
from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.models.torch_weights import Slot, assign_weights
from tf_efficientbert.options import input_option
from tf_efficientbert.storage import write_file

__all__ = [
    "PRETRAINED",
    "SHA256",
    "average_supernets",
    "load_supernet",
    "package_supernet",
    "require_supernet",
    "supernet_option",
]

PRETRAINED = "pretrained"
# Of the packaged weights, as `package_supernet` returns it.
SHA256 = "8349d112cf2633f9c334cb748b1b933f5e99359994eb41866324911ffe828c56"
_FOLDER = Path(__file__).parent / PRETRAINED
# Of EfficientBert, without which the weights would be read as another network's.
_ARGUMENTS = (
    *("architecture", "vocabulary_size", "max_positions", "fit_size"),
    *("layer_norm_epsilon", "exact_gelu", "dropout"),
)
_WEIGHTS, _DESCRIPTION = "supernet.safetensors", "supernet"


def load_supernet(name: str) -> TextModel:
    """Returns the supernet in the folder `name`, or the packaged one for "pretrained".

    Raises:
        UserError: there is none, or a file is damaged.
    """
    if name != PRETRAINED:
        return text_model.load(name)
    path = _FOLDER / _WEIGHTS
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"--supernet={PRETRAINED}: {path} cannot be read ({error.strerror}); reinstall "
            "tf-efficientbert"
        ) from error
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise UserError(
            f"--supernet={PRETRAINED}: {path} is not the file that belongs to this version; "
            "reinstall tf-efficientbert"
        )
    return _read(_FOLDER)


def supernet_option(default: str, help_text: str):
    """Returns the field of a job's options for `load_supernet`'s argument."""

    def content(options) -> str:
        # Another version of this package may have another one.
        return SHA256 if options.supernet == PRETRAINED else options.supernet

    return input_option(default, help_text, content)


def require_supernet(model: TextModel, origin: str) -> None:
    """Raises UserError if a model is not a supernet; `origin` is the flag with its value."""
    backbone = model.backbone
    if model.task or not backbone.fit_size:
        what = "it has a task" if model.task else "it has no projection to a teacher's width"
        raise UserError(f"{origin} is not a supernet: {what}")
    if backbone.architecture != backbone.architecture.supernet():
        raise UserError(f"{origin} is not a supernet: its cells are not all of the largest size")


def average_supernets(supernets: dict[str, TextModel]) -> TextModel:
    """Returns a supernet with the mean of the weights of all.

    Args:
        supernets: by name. Their weights must belong together, as those of two stages of one
            training; compare Wortsman et al., Model soups (ICML 2022).

    Raises:
        UserError: one differs from the first in its sizes or its tokens.
    """
    (first_name, first), *others = supernets.items()
    for name, other in others:
        if _sizes(other) != _sizes(first):
            raise UserError(f"--supernet: {name} and {first_name} are of different sizes")
        if not other.tokenizer.same_tokens(first.tokenizer):
            raise UserError(f"--supernet: {name} and {first_name} have different vocabularies")
    weights = zip(*(model.backbone.get_weights() for model in supernets.values()), strict=True)
    average = first.backbone.rebuilt()
    average.set_weights([np.mean(arrays, axis=0) for arrays in weights])
    return first.with_network(average)


def package_supernet(supernet: TextModel, folder: str | Path) -> str:
    """Writes a supernet's weights in float16, its sizes and its tokenizer; `_read` reads them.

    Args:
        supernet: see `require_supernet`.
        folder: an existing one.

    Returns: the SHA-256 of the weights' file, in hexadecimal.
    """
    backbone = supernet.backbone
    described = _sizes(supernet)
    weights = {
        name: np.asarray(slot.variable, np.float16) for name, slot in _slots(backbone).items()
    }
    content = save(weights, metadata={_DESCRIPTION: json.dumps(described)})
    write_file(Path(folder) / _WEIGHTS, content)
    supernet.tokenizer.save(folder)
    return hashlib.sha256(content).hexdigest()


def _sizes(supernet: TextModel) -> dict:
    config = supernet.backbone.get_config()
    return {name: config[name] for name in _ARGUMENTS} | {"max_tokens": supernet.max_tokens}


def _read(folder: Path) -> TextModel:
    with safe_open(folder / _WEIGHTS, "numpy") as file:
        described = json.loads(file.metadata()[_DESCRIPTION])
        names = file.keys()
        arrays = {name: file.get_tensor(name).astype(np.float32) for name in names}
    max_tokens = described.pop("max_tokens")
    backbone = EfficientBert(**described)
    assign_weights(_slots(backbone), arrays)
    return TextModel(backbone, Tokenizer.from_folder(folder), None, max_tokens)


def _slots(backbone: EfficientBert) -> dict[str, Slot]:
    """Returns the weights by their paths below the network, whose own name varies."""
    return {weight.path.partition("/")[2]: Slot(weight) for weight in backbone.weights}
