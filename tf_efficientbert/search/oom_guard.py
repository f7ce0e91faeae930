"""Whether the kernel ended a process for want of memory, which that process cannot say itself."""

import json
from pathlib import Path

from tf_efficientbert.storage import write_json

__all__ = ["OomGuard"]

_COUNTERS = Path("/proc/vmstat")
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_ENOUGH = 2  # times, as it may have been another process that was out of memory


class OomGuard:
    """A context that leaves a file behind where its process is killed.

    From it the next process learns whether the kernel has killed for want of memory since: Linux
    counts that, for the whole machine. A process that someone else killed before another one was
    out of memory looks the same: only what it happened to twice counts as killed for that. Where
    Linux does not count, or was started again since, nothing is known and nothing claimed.

    Args:
        path: of the file; its folder is made.
    """

    def __init__(self, path: Path):
        self._path = path
        self._seen = 0

    def killed_twice(self) -> bool:
        """Whether the kernel ended this context twice. Asked once, before the context begins."""
        if not self._path.is_file():
            return False
        found, now = json.loads(self._path.read_text("utf-8")), _kills()
        before, self._seen = found["kills"], found["seen"]
        if before and now and before["boot"] == now["boot"] and now["count"] > before["count"]:
            self._seen += 1
        if self._seen >= _ENOUGH:  # stays so: what follows is not in this context
            self._write(None)
            return True
        return False

    def __enter__(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._write(_kills())

    def __exit__(self, *_) -> None:
        self._path.unlink()

    def _write(self, kills: dict | None) -> None:
        write_json(self._path, {"kills": kills, "seen": self._seen})


def _kills() -> dict | None:
    """How often the kernel has killed for want of memory since it was started."""
    try:
        counters = dict(line.split() for line in _COUNTERS.read_text("utf-8").splitlines())
        return {"boot": _BOOT.read_text("utf-8").strip(), "count": int(counters["oom_kill"])}
    except (OSError, KeyError, ValueError):
        return None
