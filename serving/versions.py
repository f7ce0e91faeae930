"""Finds a model's versions on disk and selects those to serve."""

import os
from pathlib import Path

from tensorflow_serving.config import file_system_storage_path_source_pb2

__all__ = ["fingerprint", "versions_on_disk", "wanted_versions"]

Policy = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy


def versions_on_disk(base_path: Path) -> dict[int, Path]:
    """Returns the folders of `base_path` whose names are version numbers that ModelSpec can hold.

    Raises:
        OSError: `base_path` cannot be read.
    """
    return {
        int(entry.name): Path(entry.path)
        for entry in os.scandir(base_path)
        if _is_version(entry.name) and entry.is_dir()
    }


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdecimal() and len(name) < 20 and int(name) < 2**63


def wanted_versions(policy: Policy, versions: set[int]) -> set[int]:
    """Returns the versions that a policy selects: `latest` (default: one), `all` or `specific`."""
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return set(versions)
    if choice == "specific":
        return set(policy.specific.versions) & versions
    return set(sorted(versions)[-max(policy.latest.num_versions, 1) :])


def fingerprint(folder: Path) -> tuple:
    """Returns a value that changes with any file in `folder`; used to retry after a failure."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                stat = os.stat(os.path.join(place, name))
            except OSError:  # just deleted: the next fingerprint differs
                continue
            found.append((os.path.join(place, name), stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(sorted(found))
