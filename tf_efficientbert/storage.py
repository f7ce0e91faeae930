"""Atomic writes: files and folders are written under a temporary name, then renamed."""

import contextlib
import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tf_efficientbert.errors import UserError

__all__ = [
    "file_lock",
    "full_disk_named",
    "recover_directory",
    "replaced_directory",
    "write_file",
    "write_json",
]

_log = logging.getLogger(__name__)

_FULL_DISK = ("No space left on device", "Disk quota exceeded")


@contextlib.contextmanager
def replaced_directory(path: str | Path) -> Iterator[Path]:
    """Yields an empty folder that replaces `path` when the block ends without an error.

    Until then `path` is unchanged. After an error it stays unchanged and the new folder is
    removed. A process killed between the two renames leaves the old folder as `.NAME.old`; the
    next call restores it.

    Raises:
        UserError: the disk is full.
    """
    path = Path(path)
    new, old = path.with_name(f".{path.name}.new"), path.with_name(f".{path.name}.old")
    recover_directory(path)
    shutil.rmtree(new, ignore_errors=True)
    try:
        with full_disk_named(path):
            new.mkdir(parents=True)
            yield new
            _flush_tree(new)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if path.exists():
        os.rename(path, old)
    os.rename(new, path)
    _flush(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def recover_directory(path: str | Path) -> None:
    """Restores the folder that a process killed in `replaced_directory` left as `.NAME.old`."""
    path = Path(path)
    old = path.with_name(f".{path.name}.old")
    if old.exists():
        if path.exists():
            shutil.rmtree(old)
        else:
            os.rename(old, path)


@contextlib.contextmanager
def file_lock(path: str | Path) -> Iterator[None]:
    """Holds a lock file beside `path`; waits while another process holds it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.name}.lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.info("%s: waiting for another process that uses it", path)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_json(path: str | Path, value) -> None:
    """Writes `value` as indented JSON, see `write_file`."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    write_file(path, text.encode("utf-8"))


def write_file(path: str | Path, content: bytes) -> None:
    """Writes a file atomically.

    Raises:
        UserError: the disk is full.
    """
    path = Path(path)
    new = path.with_name(f".{path.name}.new")
    try:
        with full_disk_named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(new, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    os.replace(new, path)


@contextlib.contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """Raises UserError, naming `path`, if the block fails because the disk is full.

    Use it only for blocks that leave the previous content unchanged.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # h5py, TensorFlow and the OS each raise their own class
        if any(words in str(error) for words in _FULL_DISK):
            raise UserError(
                f"the disk is full: {path} could not be written, its previous content is "
                "unchanged; free some space and run the same command again"
            ) from error
        raise


def _flush_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        _flush(path)
    _flush(folder)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
