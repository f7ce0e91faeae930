"""The folder of the real data sets, which are not in the repository because of their licences.

`TEB_SHARED_DATA` sets another folder. The folder contains `glue/TASK/SPLIT.tsv` and
`squad/dev-v1.1.json`, `squad/dev-v2.0.json`, `squad/predictions/*.json`.
"""

import os
from pathlib import Path

import pytest

__all__ = ["SHARED_DATA", "needs_shared_data"]

_BESIDE_REPOSITORY = Path(__file__).resolve().parents[2] / "shared" / "data"

SHARED_DATA = Path(os.environ.get("TEB_SHARED_DATA", _BESIDE_REPOSITORY))

needs_shared_data = pytest.mark.skipif(
    not SHARED_DATA.is_dir(), reason=f"the real data sets are not in {SHARED_DATA}"
)
