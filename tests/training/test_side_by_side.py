import os
import signal
import threading

import numpy as np
import pytest

from tests.integration.toy import newest_step
from tests.training.tiny_training import STEPS, TinyOptions, tiny_fit
from tf_efficientbert.training.progress import ProgressBar
from tf_efficientbert.training.side_by_side import train_side_by_side
from tf_efficientbert.training.step import TrainingStep

_SEEDS = {"one": 0, "another": 1}


class _Failure(Exception):
    pass


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """{name: (history, weights)} of trainings one after the other."""
    return {
        name: tiny_fit(TinyOptions(output_dir=str(tmp_path_factory.mktemp("alone"))), seed)
        for name, seed in _SEEDS.items()
    }


def _side_by_side(folder):
    """Trains in folders of `folder`; networks are built before, as Keras draws their weights from
    one generator."""
    built = threading.Lock()

    def training(name, seed):
        options = TinyOptions(output_dir=str(folder / name), checkpoint_seconds=1e-9)

        def train(progress):
            return tiny_fit(options, seed, progress=progress, while_built=built)

        return train

    trainings = {name: training(name, seed) for name, seed in _SEEDS.items()}
    return train_side_by_side("tiny", trainings)


def _assert_same(trainings, others):
    assert list(trainings) == list(others)
    for name, (history, weights) in trainings.items():
        assert history == others[name][0]
        for one, other in zip(weights, others[name][1], strict=True):
            np.testing.assert_array_equal(one, other)


def test_trainings_side_by_side_end_with_the_same_bits(tmp_path, alone, capfd, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    _assert_same(_side_by_side(tmp_path), alone)
    # One progress bar counts all steps and names the trainings.
    last = capfd.readouterr().err.replace("\r", "\n").strip().splitlines()[-1]
    total = len(_SEEDS) * STEPS
    assert last.startswith("tiny: 100%") and f"{total}/{total}" in last
    assert all(f"{name} " in last for name in _SEEDS)


def test_if_one_fails_the_others_finish_and_a_later_call_resumes_it(
    tmp_path, alone, monkeypatch, caplog
):
    take, once = TrainingStep.__call__, iter([True])

    def failing(self, batch, step):
        if step == 3 and next(once, False):
            raise _Failure("a wrong turn")
        return take(self, batch, step)

    monkeypatch.setattr(TrainingStep, "__call__", failing)
    with pytest.raises(_Failure):
        _side_by_side(tmp_path)
    assert "failed: a wrong turn" in caplog.text
    newest = [newest_step(tmp_path / name / "checkpoints" / "tiny") for name in _SEEDS]
    assert sorted(newest) == [3, STEPS]
    _assert_same(_side_by_side(tmp_path), alone)


@pytest.mark.slow
def test_ctrl_c_stops_all_and_a_later_call_resumes_them(tmp_path, alone, monkeypatch):
    take, cancel, cancelled = TrainingStep.__call__, ProgressBar.cancel, threading.Event()

    def interrupted(self, batch, step):
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)
            cancelled.wait()
        return take(self, batch, step)

    def noted(self):
        cancel(self)
        cancelled.set()

    monkeypatch.setattr(TrainingStep, "__call__", interrupted)
    monkeypatch.setattr(ProgressBar, "cancel", noted)
    with pytest.raises(KeyboardInterrupt):
        _side_by_side(tmp_path)
    assert all(newest_step(tmp_path / name / "checkpoints" / "tiny") <= 3 for name in _SEEDS)
    monkeypatch.setattr(TrainingStep, "__call__", take)
    _assert_same(_side_by_side(tmp_path), alone)
