"""Detects whether the kernel's out-of-memory killer may have ended an earlier process."""

import json
from pathlib import Path

from tf_efficientbert.storage import write_json

__all__ = ["OomGuard"]

_PROC = Path("/proc")


class OomGuard:
    """A context manager that leaves a file behind if its process is killed.

    The file holds the number of processes that Linux has killed for lack of memory since boot. If
    that number has grown, the process was probably one of them; the kernel does not tell which.
    Without a count, or after a reboot, the guard assumes that it was not.

    Args:
        path: the file; its folder is created.
        proc: folder of the kernel's counters.
    """

    def __init__(self, path: Path, proc: Path = _PROC):
        self._path, self._proc = path, proc

    def was_killed(self) -> bool:
        """Returns whether the context's last process was killed and the count has grown since.

        The result stays the same until the context is entered again.
        """
        if not self._path.is_file():
            return False
        before, now = json.loads(self._path.read_text("utf-8")), self._kills()
        if not before or not now or before["boot"] != now["boot"]:
            return False
        return now["count"] > before["count"]

    def __enter__(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._path, self._kills())

    def __exit__(self, *_) -> None:
        self._path.unlink()

    def _kills(self) -> dict | None:
        """Returns the boot id and the number of processes killed since boot; None if unknown."""
        try:
            lines = (self._proc / "vmstat").read_text("utf-8").splitlines()
            boot = (self._proc / "sys/kernel/random/boot_id").read_text("utf-8").strip()
            return {"boot": boot, "count": int(dict(line.split() for line in lines)["oom_kill"])}
        except (OSError, KeyError, ValueError):
            return None
