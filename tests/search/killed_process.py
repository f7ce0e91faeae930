"""What a process that the kernel killed for lack of memory leaves on the disk."""

import json
from pathlib import Path

import pytest

from tf_efficientbert.search.oom_guard import OomGuard


def leave_behind_a_kill(path: Path) -> None:
    """Writes the guard's file as a process did that one kill has ended since; may skip the test."""
    with OomGuard(path):
        entered = json.loads(path.read_text("utf-8"))
    if not entered:
        pytest.skip("this kernel does not count its kills")
    entered["count"] -= 1
    path.write_text(json.dumps(entered), "utf-8")
