"""Simulates a process that the kernel killed for lack of memory."""

import json
from pathlib import Path

import pytest

from tf_efficientbert.search.oom_guard import OomGuard


def simulate_out_of_memory_kill(path: Path) -> None:
    """Writes the guard's file as if its process was killed; skips the test without a kill count."""
    with OomGuard(path):
        entered = json.loads(path.read_text("utf-8"))
    if not entered:
        pytest.skip("this kernel does not count its out-of-memory kills")
    entered["count"] -= 1
    path.write_text(json.dumps(entered), "utf-8")
