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

    Attributes:
        kills: how often this context's process has probably been killed for lack of memory, up to
            now; it is kept in the file.
    """

    def __init__(self, path: Path, proc: Path = _PROC):
        self._path, self._proc = path, proc
        self.kills = 0
        if path.is_file():
            self._read(json.loads(path.read_text("utf-8")))

    def __enter__(self) -> None:
        self._write()

    def __exit__(self, *_) -> None:
        self._path.unlink()

    def _read(self, left: dict) -> None:
        """Counts one more kill if the kernel has killed a process since `left` was written."""
        self.kills = left["kills"]
        before, now = left["counter"], self._counter()
        same_boot = before and now and before["boot"] == now["boot"]
        if same_boot and now["count"] != before["count"]:
            self.kills += 1
            # Written at once: a later guard must not compare with the same old count again.
            self._write()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._path, {"counter": self._counter(), "kills": self.kills})

    def _counter(self) -> dict | None:
        """Returns the boot id and the number of processes killed since boot; None if unknown."""
        try:
            lines = (self._proc / "vmstat").read_text("utf-8").splitlines()
            boot = (self._proc / "sys/kernel/random/boot_id").read_text("utf-8").strip()
            return {"boot": boot, "count": int(dict(line.split() for line in lines)["oom_kill"])}
        except (OSError, KeyError, ValueError):
            return None
