"""Files that are either whole or not there: written beside their place, then renamed into it."""

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
    """Yields an empty folder that takes the place of `path` when the block ends without an error.

    Until then `path` is as it was; after an error it still is, and the new folder is gone. A
    process killed between the two renames leaves the old folder beside, under `.old`, which the
    next call puts back.

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
    """Puts back what a process killed in `replaced_directory` had set aside."""
    path = Path(path)
    old = path.with_name(f".{path.name}.old")
    if old.exists():
        if path.exists():
            shutil.rmtree(old)
        else:
            os.rename(old, path)


@contextlib.contextmanager
def file_lock(path: str | Path) -> Iterator[None]:
    """Waits until no other process is in such a block for `path`, by a lock file beside it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.name}.lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.info("another process is at work in %s: waiting for it", path)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_json(path: str | Path, value) -> None:
    """Writes `value` as indented JSON, see `write_file`."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    write_file(path, text.encode("utf-8"))


def write_file(path: str | Path, content: bytes) -> None:
    """Writes a file, all or nothing.

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
    """Raises UserError, with `path` in it, in place of whatever a full disk makes the block raise.

    Only for blocks that leave what was there before as it was.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # h5py, TensorFlow and the system each have a class of their own
        if any(words in str(error) for words in _FULL_DISK):
            raise UserError(
                f"the disk is full: {path} could not be written, and what was there before is "
                "unchanged; make room and start the same command again"
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
