"""Fingerprints of a job's inputs, to detect changes between runs."""

import hashlib
from pathlib import Path


def fingerprint(value: str) -> str:
    """Returns a digest of a flag's value: files, folders or words, separated by commas.

    It depends on content, not paths: a moved folder keeps its fingerprint.
    """
    return _digest(_content(Path(part), part) for part in value.split(","))


def _content(path: Path, word: str) -> str:
    if path.is_file():
        return _file(path)
    if word and path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
        return _digest(f"{file.relative_to(path)} {_file(file)}" for file in files)
    return word


def _file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(parts) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8")).hexdigest()[:16]
