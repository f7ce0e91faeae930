"""Layers, models and losses are backend-neutral: the parity tests hold on JAX too."""

import os
import subprocess
import sys

PARITY = (
    "tests/models/test_reference_parity.py",
    "tests/distillation/test_reference_losses.py",
)

DROPOUT = """
import keras, numpy as np
from tf_efficientbert.layers import Dropout
assert keras.backend.backend() == "jax"
def mask(seed):
    ones, seed = keras.ops.ones((4, 64)), keras.ops.convert_to_tensor(seed, "int32")
    return np.asarray(Dropout(0.5)(ones, dropout_seed=seed, training=True))
assert (mask([3, 5]) == mask([3, 5])).all() and (mask([3, 5]) != mask([3, 6])).any()
"""


def _run_on_jax(*arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_reference_s_outputs_and_losses_hold_on_jax():
    run = _run_on_jax("-m", "pytest", "-q", "-p", "no:cacheprovider", *PARITY)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    assert " passed" in run.stdout


def test_a_dropout_mask_follows_from_its_seed_on_jax():
    run = _run_on_jax("-c", DROPOUT)
    assert run.returncode == 0, run.stderr[-2000:]
