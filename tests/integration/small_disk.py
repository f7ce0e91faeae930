"""A small file system in memory, for tests of full disks. Mounting it needs root."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = ["fill", "resize", "small_disk"]

_PAGE = 4096


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mounts an empty disk of `size`, e.g. 1m, at `folder`; skips the test without permission."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command to make a small disk with")
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def resize(folder: Path, size: str) -> None:
    """Changes the size of the disk at `folder`."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def fill(folder: Path, free_bytes: int = 0) -> None:
    """Fills the disk with a file `filler` except for `free_bytes`, rounded down to pages."""
    with open(folder / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(_PAGE))
    size = (folder / "filler").stat().st_size
    with open(folder / "filler", "r+b") as file:
        file.truncate(size - free_bytes // _PAGE * _PAGE)
