"""Teacher outputs on disk, for the jobs of a pipeline and for later runs."""

import hashlib
import json
import logging
import os
import platform
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tf_efficientbert.data.batching import EncodedExamples
from tf_efficientbert.errors import UserError
from tf_efficientbert.storage import file_lock, replaced_directory, write_json

__all__ = ["OutputStore", "output_key"]

_log = logging.getLogger(__name__)

_FORMAT = 2  # raise it if outputs of earlier versions must not be used any more
_MANIFEST = "manifest.json"
_KEY = re.compile(r"[0-9a-f]{32}")

Form = tuple[tuple[int, ...], np.dtype]  # shape and dtype of an array


class OutputStore:
    """A folder with an entry for each teacher, set of examples and choice of outputs.

    Reading and keeping entries never makes a job fail: an entry that is damaged is computed again,
    and one that does not fit on the disk is not kept; both are logged. Processes may share the
    folder. Nothing in it but entries is touched. Loaded arrays are mapped files: they may be
    deleted, but not changed, while they are in use.

    Args:
        folder: created if missing.
        max_gb: the most 10^9 bytes of all entries; the least recently used are deleted.

    Raises:
        UserError: the folder cannot be written.
    """

    def __init__(self, folder: str | Path, max_gb: float):
        self._folder, self._max_bytes = Path(folder), max_gb * 1e9
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._lock():
                pass
        except OSError as error:
            raise UserError(f"--teacher_cache={folder} cannot be written: {error}") from error

    def load(self, key: str, forms: Mapping[str, Form]) -> dict[str, np.ndarray] | None:
        """Returns the arrays of an entry by name; None if there is none, or it is damaged.

        Args:
            forms: shape and dtype of each array.
        """
        entry = self._folder / key
        with self._lock():
            if not entry.is_dir():
                return None
            try:
                arrays = _read(entry, forms)
                os.utime(entry)  # deletion is in the order of use
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                _log.warning("%s is damaged and is computed again: %s", entry, error)
                shutil.rmtree(entry, ignore_errors=True)
                return None
        return arrays

    def save(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keeps an entry, written whole or not at all."""
        size = sum(array.nbytes for array in arrays.values())
        try:
            with self._lock():
                # An optional entry must not take the space that checkpoints need.
                if size > self._max_bytes or 2 * size > shutil.disk_usage(self._folder).free:
                    _log.info("no space to keep %.2g GB of teacher outputs on disk", size / 1e9)
                    return
                if (self._folder / key).exists():
                    return
                self._shrink_to(self._max_bytes - size)
                with replaced_directory(self._folder / key) as new:
                    _write(new, arrays)
        except (OSError, UserError, MemoryError) as error:
            _log.warning("teacher outputs are not kept on disk: %s", error)

    def _lock(self):
        return file_lock(self._folder / "entries")

    def _shrink_to(self, size: float) -> None:
        """Deletes the least recently used entries, and first those of killed processes."""
        for left in self._folder.glob(".*.new"):
            shutil.rmtree(left)
        entries = [path for path in self._folder.iterdir() if _KEY.fullmatch(path.name)]
        entries.sort(key=lambda entry: entry.stat().st_mtime)
        sizes = [sum(file.stat().st_size for file in entry.iterdir()) for entry in entries]
        left = sum(sizes)
        for entry, each in zip(entries, sizes, strict=True):
            if left <= size:
                break
            shutil.rmtree(entry)
            left -= each


def output_key(
    models: Iterable, names: Sequence[str], examples: EncodedExamples, batch_size: int
) -> str:
    """Returns the key of an entry: a hash of everything that its bits depend on.

    Args:
        models: the networks of the teacher.
        names: of the outputs, see `outputs`.
        batch_size: in which outputs are computed.
    """
    digest = hashlib.sha256()
    versions = _FORMAT, tf.__version__, keras.__version__, _processor(), _threads()
    digest.update(repr((versions, tuple(names), batch_size, examples.max_tokens)).encode("utf-8"))
    for model in models:
        backbone = getattr(model, "backbone", model)
        settings = backbone.layer_norm_epsilon, backbone.exact_gelu, backbone.dtype_policy.name
        digest.update(repr((backbone.architecture.to_json(), *settings)).encode("utf-8"))
        for weight in model.weights:
            _add(digest, weight.numpy())
    for array in (examples.token_ids, examples.segment_ids, examples.offsets):
        _add(digest, array)
    return digest.hexdigest()[:32]


def _add(digest, array: np.ndarray) -> None:
    digest.update(f"{array.shape} {array.dtype}".encode())
    digest.update(_bytes(array))


def _bytes(array: np.ndarray) -> memoryview:
    """Returns the content of an array without a copy."""
    return memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


def _processor() -> str:
    """Returns the processor's name: another one rounds differently."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _threads() -> str:
    """Returns by how many threads an operation is split, if that is set: it changes sums' order."""
    set_here = tf.config.threading.get_intra_op_parallelism_threads()
    return str(set_here or os.environ.get("TF_NUM_INTRAOP_THREADS", ""))


def _write(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    described = {}
    for number, (name, array) in enumerate(arrays.items()):
        (folder / f"{number}.bin").write_bytes(_bytes(array))
        checksum = hashlib.sha256(_bytes(array)).hexdigest()
        described[name] = {"file": f"{number}.bin", "sha256": checksum}
    write_json(folder / _MANIFEST, described)


def _read(entry: Path, forms: Mapping[str, Form]) -> dict[str, np.ndarray]:
    described, arrays = json.loads((entry / _MANIFEST).read_text("utf-8")), {}
    for name, (shape, dtype) in forms.items():
        # Mapped: students side by side share one copy in memory.
        array = np.memmap(entry / described[name]["file"], dtype, mode="r", shape=shape)
        if hashlib.sha256(_bytes(array)).hexdigest() != described[name]["sha256"]:
            raise ValueError(f"the checksum of {name} differs")
        arrays[name] = array
    return arrays
