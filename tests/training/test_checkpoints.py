import logging
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.integration.small_disk import fill, small_disk
from tests.training.tiny_training import tiny_pair
from tf_efficientbert.errors import UserError
from tf_efficientbert.training.checkpoints import Checkpoints
from tf_efficientbert.training.optimizer import build_optimizer


class _State:
    """A model and its optimizer, filled with reproducible numbers."""

    def __init__(self, number: int):
        self.model = tiny_pair()[1]
        variables = self.model.trainable_variables
        self.optimizer = build_optimizer(variables, 1e-3, 9)
        self.fill(number)

    @property
    def _variables(self):
        return [*self.model.weights, *self.optimizer.variables]

    def fill(self, number: int):
        for i, variable in enumerate(self._variables):
            values = np.random.default_rng((number, i)).integers(0, 1000, variable.shape)
            variable.assign(values / 7 if variable.dtype == "float32" else values)

    def values(self):
        return [np.asarray(variable) for variable in self._variables]

    def checkpoints(self, folder) -> Checkpoints:
        return Checkpoints(folder, model=self.model, optimizer=self.optimizer)


@pytest.fixture(scope="module")
def state():
    return _State(0)


def _save(state, folder, *steps):
    for step in steps:
        state.fill(step)
        state.checkpoints(folder).save(step, [{"step": step, "loss": 0.1 * step}])


def _assert_filled(state, number):
    values = state.values()
    state.fill(number)
    for value, expected in zip(values, state.values(), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_model_and_optimizer_are_restored_exactly(state, tmp_path):
    _save(state, tmp_path, 12)
    other = _State(99)
    assert other.checkpoints(tmp_path).restore() == (12, [{"step": 12, "loss": 0.1 * 12}])
    _assert_filled(other, 12)


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_without_a_checkpoint_nothing_changes(state, tmp_path, folder):
    state.fill(5)
    assert state.checkpoints(tmp_path / folder).restore() == (0, [])
    _assert_filled(state, 5)


def test_the_newest_two_are_kept(state, tmp_path):
    _save(state, tmp_path, 9, 10, 99, 100)
    assert sorted(os.listdir(tmp_path)) == ["step-00000099", "step-00000100"]
    assert state.checkpoints(tmp_path).restore()[0] == 100


def _truncated(path):
    os.truncate(path, path.stat().st_size // 2)


def _emptied(path):
    os.truncate(path, 0)


def _flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x55
    path.write_bytes(content)


_DAMAGES = [
    (name, damage)
    for name in ("history.json", "variables.index", "variables.data-00000-of-00001")
    for damage in (_truncated, _emptied, os.unlink, _flipped)
    if not (damage is _flipped and name == "history.json")  # JSON has no checksum
]


@pytest.mark.parametrize(("name", "damage"), _DAMAGES)
def test_a_damaged_checkpoint_is_skipped_with_a_warning(state, tmp_path, caplog, name, damage):
    _save(state, tmp_path, 1, 2)
    damage(tmp_path / "step-00000002" / name)
    state.fill(77)
    with caplog.at_level(logging.WARNING, logger="tf_efficientbert"):
        step, history = state.checkpoints(tmp_path).restore()
    assert (step, history) == (1, [{"step": 1, "loss": 0.1}])
    _assert_filled(state, 1)
    (message,) = (record.getMessage() for record in caplog.records)
    assert str(tmp_path / "step-00000002") in message


def test_an_empty_checkpoint_folder_is_skipped(state, tmp_path):
    _save(state, tmp_path, 1, 2)
    shutil.rmtree(tmp_path / "step-00000002")
    (tmp_path / "step-00000002").mkdir()
    assert state.checkpoints(tmp_path).restore()[0] == 1


def test_a_checkpoint_of_another_model_is_an_error(state, tmp_path):
    other = tf.Variable(1.0)
    Checkpoints(tmp_path, model=other).save(3, [])
    with pytest.raises(UserError):
        state.checkpoints(tmp_path).restore()


def test_the_error_for_only_damaged_checkpoints_names_the_folder(state, tmp_path):
    _save(state, tmp_path, 1, 2)
    for folder in tmp_path.iterdir():
        _truncated(folder / "variables.index")
    with pytest.raises(UserError, match=f"no checkpoint in {tmp_path} can be read; delete"):
        state.checkpoints(tmp_path).restore()


def test_later_damaged_checkpoints_are_deleted_by_the_next_save(state, tmp_path):
    _save(state, tmp_path, 10, 20)
    _truncated(tmp_path / "step-00000020" / "variables.index")
    checkpoints = state.checkpoints(tmp_path)
    assert checkpoints.restore()[0] == 10
    checkpoints.save(15, [])
    assert sorted(os.listdir(tmp_path)) == ["step-00000010", "step-00000015"]


def test_incomplete_checkpoints_of_killed_processes_are_deleted(state, tmp_path):
    (tmp_path / ".step-00000007.new").mkdir()
    (tmp_path / ".step-00000007.new" / "variables.data-00000-of-00001").write_bytes(bytes(1000))
    _save(state, tmp_path, 8)
    assert os.listdir(tmp_path) == ["step-00000008"]


@pytest.mark.parametrize("share", [0, 0.2, 0.6, 0.95])
def test_on_a_full_disk_the_earlier_checkpoint_is_kept(state, tmp_path, share):
    _save(state, tmp_path / "measured", 1)
    size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    with small_disk(tmp_path / "disk", "8m") as disk:
        _save(state, disk / "run", 1)
        fill(disk, int(share * size))
        with pytest.raises(UserError, match="^the disk is full: ") as caught:
            _save(state, disk / "run", 2)
        assert str(disk / "run" / "step-00000002") in str(caught.value)
        assert "\n" not in str(caught.value)
        assert os.listdir(disk / "run") == ["step-00000001"]
        assert state.checkpoints(disk / "run").restore() == (1, [{"step": 1, "loss": 0.1}])
        (disk / "filler").unlink()
        _save(state, disk / "run", 2)
        assert state.checkpoints(disk / "run").restore()[0] == 2
