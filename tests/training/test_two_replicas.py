import subprocess
import sys

import numpy as np
import pytest

from tests.training.tiny_training import tiny_pair
from tf_efficientbert.training.checkpoints import Checkpoints
from tf_efficientbert.training.optimizer import build_optimizer

pytestmark = pytest.mark.slow  # most of a minute, for a process with two replicas


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("replicas")
    command = [sys.executable, "-m", "tests.training.two_replicas", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return path


@pytest.fixture(scope="module", params=["all", "real"])
def one_and_two(request, folder):
    return [
        dict(np.load(folder / f"{name}_{request.param}.npz")) for name in ("default", "mirrored")
    ]


def test_two_replicas_take_the_same_steps_as_one(one_and_two):
    one, two = one_and_two
    assert (one["replicas"], two["replicas"]) == (1, 2)
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-6)
    np.testing.assert_allclose(two["norms"], one["norms"], rtol=1e-5)
    assert np.abs(one["weights"] - one["before"]).max() > 1e-2
    np.testing.assert_allclose(two["weights"], one["weights"], rtol=0, atol=2e-6)


def test_the_gradients_were_clipped(one_and_two):
    for run in one_and_two:
        assert np.all(run["norms"] > 1)


def test_the_number_of_traces_does_not_grow_with_the_shapes(one_and_two):
    one, two = one_and_two
    assert one["traces"] == 1
    assert two["traces"] <= 2


def test_leaving_padding_out_changes_the_losses(folder):
    every, real = (np.load(folder / f"default_{name}.npz")["losses"] for name in ("all", "real"))
    assert np.all(np.abs(every - real) > 1e-3)


def test_a_checkpoint_of_two_replicas_is_restored_on_one_device(folder):
    student = tiny_pair(seed=9)[1]
    optimizer = build_optimizer(student.trainable_variables, 1e-2, 10)
    checkpoints = Checkpoints(
        folder / "mirrored_all_checkpoints", model=student, optimizer=optimizer
    )
    assert checkpoints.restore()[0] == 1
    weights = np.concatenate([weight.numpy().ravel() for weight in student.weights])
    np.testing.assert_array_equal(weights, np.load(folder / "mirrored_all.npz")["weights"])
    assert int(optimizer.iterations) == 5
