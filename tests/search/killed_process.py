"""Simulates a process that the kernel killed for lack of memory."""

import json
from pathlib import Path

import pytest

from tf_efficientbert.search.oom_guard import OomGuard


def simulate_out_of_memory_kills(path: Path, times: int = 1) -> None:
    """Leaves the guard's file as `times` killed processes do; skips the test without a count."""
    with OomGuard(path):
        left = json.loads(path.read_text("utf-8"))
    if not left["counter"]:
        pytest.skip("this kernel does not count its out-of-memory kills")
    left["counter"]["count"] -= 1
    path.write_text(json.dumps({**left, "kills": times - 1}), "utf-8")
