"""Teacher outputs on disk, for the jobs of a pipeline and for later runs."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_efficientbert.data.batching import EncodedExamples
from tf_efficientbert.errors import UserError
from tf_efficientbert.storage import file_lock, replaced_directory, write_json

__all__ = ["OutputStore", "output_key"]

_log = logging.getLogger(__name__)

_MANIFEST = "manifest.json"


class OutputStore:
    """A folder with an entry for each teacher, set of examples and choice of outputs.

    It never makes a job fail: an entry that is damaged is computed again, and one that does not fit
    on the disk is not kept; both are logged.

    Args:
        folder: created when needed.
        max_gb: the most 10^9 bytes of all entries; the least recently used are deleted.
    """

    def __init__(self, folder: str | Path, max_gb: float):
        self._folder, self._max_bytes = Path(folder), max_gb * 1e9

    def load(self, key: str) -> dict[str, np.ndarray] | None:
        """Returns the arrays of an entry by name; None if there is none, or it is damaged."""
        entry = self._folder / key
        if not entry.is_dir():
            return None
        try:
            arrays = _read(entry)
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("%s is damaged and is computed again: %s", entry, error)
            shutil.rmtree(entry, ignore_errors=True)
            return None
        os.utime(entry)  # deletion is in the order of use
        return arrays

    def save(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keeps an entry, written whole or not at all."""
        size = sum(array.nbytes for array in arrays.values())
        if size > self._max_bytes:
            _log.info("teacher outputs of %.1f GB are not kept on disk", size / 1e9)
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with file_lock(self._folder):
                self._shrink_to(self._max_bytes - size)
                with replaced_directory(self._folder / key) as new:
                    _write(new, arrays)
        except (OSError, UserError) as error:
            _log.warning("teacher outputs are not kept on disk: %s", error)

    def _shrink_to(self, size: float) -> None:
        entries = sorted(self._folder.iterdir(), key=lambda entry: entry.stat().st_mtime)
        sizes = [sum(file.stat().st_size for file in entry.iterdir()) for entry in entries]
        left = sum(sizes)
        for entry, each in zip(entries, sizes, strict=True):
            if left <= size:
                break
            shutil.rmtree(entry)
            left -= each


def output_key(models: Iterable, names: Sequence[str], examples: EncodedExamples) -> str:
    """Returns the key of an entry: a hash of everything that its outputs depend on.

    Args:
        models: the networks of the teacher.
        names: of the outputs, see `outputs`.
    """
    digest = hashlib.sha256()
    for model in models:
        backbone = getattr(model, "backbone", model)
        settings = backbone.layer_norm_epsilon, backbone.exact_gelu, backbone.dtype_policy.name
        digest.update(repr((backbone.architecture.to_json(), *settings)).encode("utf-8"))
        for weight in model.weights:
            digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
    digest.update(repr(tuple(names)).encode("utf-8"))
    for array in (examples.token_ids, examples.segment_ids, examples.offsets):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def _write(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    described = {}
    for number, (name, array) in enumerate(arrays.items()):
        content = np.ascontiguousarray(array).tobytes()
        (folder / f"{number}.bin").write_bytes(content)
        described[name] = {
            "file": f"{number}.bin",
            "dtype": str(array.dtype),
            "shape": list(array.shape),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    write_json(folder / _MANIFEST, described)


def _read(entry: Path) -> dict[str, np.ndarray]:
    arrays = {}
    for name, about in json.loads((entry / _MANIFEST).read_text("utf-8")).items():
        content = (entry / about["file"]).read_bytes()
        if hashlib.sha256(content).hexdigest() != about["sha256"]:
            raise ValueError(f"{about['file']} has another checksum")
        dtype = tf.as_dtype(about["dtype"]).as_numpy_dtype  # NumPy itself knows no bfloat16
        arrays[name] = np.frombuffer(content, dtype).reshape(about["shape"])
    return arrays
