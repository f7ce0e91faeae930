"""Whether the kernel ended a process for want of memory, which that process cannot say itself."""

import json
from pathlib import Path

from tf_efficientbert.storage import write_json

__all__ = ["AtWork"]

_COUNTERS = Path("/proc/vmstat")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class AtWork:
    """A context that leaves a file behind where its process is killed.

    From it the next process learns whether the kernel has killed for want of memory since: Linux
    counts that, for the whole machine. A process that someone else killed while another one was
    out of memory is then mistaken for one that was. Where Linux does not count, or was started
    again since, nothing is known and nothing claimed.

    Args:
        path: of the file; its folder is made.
    """

    def __init__(self, path: Path):
        self._path = path

    def __enter__(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._path, {"kills": _kills(), "killed": False})

    def __exit__(self, *_) -> None:
        self._path.unlink()

    @property
    def was_killed(self) -> bool:
        """Whether the kernel killed a process in this context, for want of memory."""
        if not self._path.is_file():
            return False
        found = json.loads(self._path.read_text("utf-8"))
        if not found["killed"]:
            before, now = found["kills"], _kills()
            if not (before and now and before["boot"] == now["boot"]):
                return False
            found["killed"] = now["count"] > before["count"]
            write_json(self._path, found)  # known for good, though the machine is started again
        return found["killed"]


def _kills() -> dict | None:
    """How often the kernel has killed for want of memory since it was started."""
    try:
        counters = dict(line.split() for line in _COUNTERS.read_text("utf-8").splitlines())
        return {"boot": _BOOT.read_text("utf-8").strip(), "count": int(counters["oom_kill"])}
    except (OSError, KeyError, ValueError):
        return None
