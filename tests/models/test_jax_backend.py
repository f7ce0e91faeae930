"""Layers, models and losses are backend-neutral: the parity tests also pass on JAX."""

import os
import subprocess
import sys

import pytest

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

CHOICES = """
import jax, keras, numpy as np
from fractions import Fraction
from tests.models.small_models import random_inputs, small_architecture, small_backbone
from tf_efficientbert.architecture import CellSpec
assert keras.backend.backend() == "jax"
largest = ("linear4_1(gelu(linear4_1(x,wb1)),wb2)", "linear4_1(relu(max(linear4_1(x,wb1),x)),wb2)")
backbone, inputs, traces = small_backbone(small_architecture(largest)), random_inputs(), []
def chosen(choices):
    traces.append(1)
    return backbone(inputs, choices=choices)["sequence_output"]
compiled = jax.jit(chosen)
for choices in ([[1, 2], [3, 4]], [[4, 1], [2, 3]]):
    sizes = zip(backbone.architecture.cells, choices)
    cells = tuple(CellSpec(c.formula, s, Fraction(1, d)) for c, (s, d) in sizes)
    expected = backbone(inputs, cells=cells)["sequence_output"]
    np.testing.assert_allclose(compiled(np.array(choices, "int32")), expected, atol=1e-5)
assert len(traces) == 1
"""


def _run_on_jax(*arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_reference_s_outputs_and_losses_hold_on_jax():
    run = _run_on_jax("-m", "pytest", "-q", "-p", "no:cacheprovider", *PARITY)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    assert " passed" in run.stdout


def test_a_dropout_mask_depends_on_its_seed_on_jax():
    run = _run_on_jax("-c", DROPOUT)
    assert run.returncode == 0, run.stderr[-2000:]


@pytest.mark.slow
def test_a_slice_is_chosen_inside_one_graph_on_jax():
    run = _run_on_jax("-c", CHOICES)
    assert run.returncode == 0, run.stderr[-2000:]
