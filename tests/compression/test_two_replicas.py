"""Compression on two devices gives the same result as on one."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.compression.tiny_compression import write_models
from tf_efficientbert.models.text_model import load

pytestmark = pytest.mark.slow  # most of a minute for two compressions

_BOTH = """
import sys
from pathlib import Path
import tensorflow as tf
from tests.compression.tiny_compression import tiny_options
from tf_efficientbert.compression.compress import compress
from tf_efficientbert.training.strategy import make_strategy

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
assert make_strategy("mirrored").num_replicas_in_sync == 2
folder = Path(sys.argv[1])
for strategy in ("default", "mirrored"):
    job = {"strategy": strategy, "output_dir": str(folder / strategy), "dropout": 0.0}
    compress(tiny_options(folder, "prune(0.5),quantize(int8)", **job))
"""


def test_two_replicas_prune_the_same_weights_and_have_the_same_losses_as_one(tmp_path):
    write_models(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", _BOTH, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (_losses(tmp_path / strategy) for strategy in ("default", "mirrored"))
    assert one and one.keys() == two.keys()
    for step, losses in one.items():
        np.testing.assert_allclose(two[step], losses, rtol=1e-3)
    weights = [
        np.concatenate([w.numpy().ravel() for w in load(tmp_path / name / "model").model.weights])
        for name in ("default", "mirrored")
    ]
    assert np.mean((weights[0] == 0) == (weights[1] == 0)) > 0.999
    assert np.mean(weights[0] == 0) > 0.2


def _losses(folder: Path) -> dict[str, list[float]]:
    history = json.loads((folder / "history.json").read_text("utf-8"))
    return {name: [record["loss"] for record in records] for name, records in history.items()}
