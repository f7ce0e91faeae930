import json
import math

import numpy as np
import pytest
import tensorflow as tf

from tests.training.tiny_training import STEPS, TinyOptions, tiny_fit
from tf_efficientbert.errors import UserError
from tf_efficientbert.training.checkpoints import Checkpoints
from tf_efficientbert.training.loop import DivergedError, train
from tf_efficientbert.training.step import TrainingStep


class _Killed(Exception):
    pass


@pytest.fixture
def kill_at(monkeypatch):
    """kill_at(n): makes step n raise _Killed from now on; None: no step."""
    take = TrainingStep.__call__
    end = []

    def killed(self, batch, step):
        if end and step == end[0]:
            raise _Killed
        return take(self, batch, step)

    def set_end(step):
        end[:] = [] if step is None else [step]

    monkeypatch.setattr(TrainingStep, "__call__", killed)
    return set_end


def _evaluate_constantly():
    return {"dev_accuracy": 0.25}


@pytest.fixture(
    scope="module", params=["float32", pytest.param("bfloat16", marks=pytest.mark.slow)]
)
def uninterrupted(request, tmp_path_factory):
    """(changed options, history, weights) of an uninterrupted training."""
    changes = {"bfloat16": request.param == "bfloat16"}
    folder = tmp_path_factory.mktemp("run")
    return changes, *tiny_fit(TinyOptions(output_dir=str(folder), **changes))


def _assert_same(training, other):
    (history, weights), (other_history, other_weights) = training, other
    assert history == other_history
    for one, other in zip(weights, other_weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_training_killed_twice_ends_with_the_same_bits(tmp_path, kill_at, uninterrupted):
    changes, *expected = uninterrupted
    options = TinyOptions(output_dir=str(tmp_path), checkpoint_seconds=1e-9, **changes)
    for kill, first_weights in ((1, 0), (5, 98)):
        kill_at(kill)
        with pytest.raises(_Killed):
            tiny_fit(options, first_weights)
        newest = sorted((tmp_path / "checkpoints" / "tiny").iterdir())[-1]
        assert newest.name == f"step-{kill:08d}"
    (newest / "variables.index").unlink()  # so it resumes one step earlier
    kill_at(None)
    _assert_same(tiny_fit(options, 99), expected)  # other initial weights are overwritten


def test_the_history_has_the_losses_of_every_step(uninterrupted):
    _, history, _ = uninterrupted
    assert [record["step"] for record in history] == list(range(1, STEPS + 1))
    names = {"step", "loss", "hidden", "attention", "prediction", "gradient_norm"}
    assert all(set(record) == names for record in history)
    assert history[-1]["loss"] < history[0]["loss"]
    assert json.loads(json.dumps(history)) == history


# === The loop with a counter as model ===


def _train(folder, step_fn=None, total_steps=5, **arguments):
    """Each step adds its batch's number to a counter; returns (history, final counter)."""
    counter = tf.Variable(0.0)

    def count(batch, step):
        counter.assign_add(batch)
        return {"loss": step_fn(step) if step_fn else 1.0}

    arguments = {"checkpoint_seconds": 0.0, **arguments}
    history = train(
        name="count",
        step_fn=count,
        batches=[1.0, 10.0, 100.0, 1000.0, 10000.0, 100000.0],
        total_steps=total_steps,
        folder=folder,
        trackables={"model": counter},
        **arguments,
    )
    return history, float(counter)


def test_each_step_gets_its_batch_and_a_finished_training_is_not_repeated(tmp_path):
    history, counter = _train(tmp_path)
    assert counter == 11111.0
    assert [record["step"] for record in history] == [1, 2, 3, 4, 5]

    def never(step):
        pytest.fail(f"step {step} was taken again")

    assert _train(tmp_path, never) == (history, counter)


def _restored(folder):
    counter = tf.Variable(-1.0)
    step, _ = Checkpoints(folder, model=counter).restore()
    return step, float(counter)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_an_error_and_the_last_checkpoint_is_kept(tmp_path, loss):
    with pytest.raises(DivergedError) as caught:
        _train(tmp_path, lambda step: loss if step == 3 else 1.0)
    assert (
        str(caught.value) == f"count: the loss of step 4 of 5 is {loss}; try a lower learning rate"
    )
    assert isinstance(caught.value, UserError)
    assert _restored(tmp_path) == (3, 111.0)


def test_evaluation_runs_after_each_epoch_and_at_the_end(tmp_path):
    calls = []

    def evaluate():
        calls.append(None)
        return {"dev_accuracy": 0.1 * len(calls)}

    history, _ = _train(tmp_path, evaluate=evaluate, evaluate_every=2)
    scores = {r["step"]: r["dev_accuracy"] for r in history if "dev_accuracy" in r}
    assert scores == pytest.approx({2: 0.1, 4: 0.2, 5: 0.3})
    assert Checkpoints(tmp_path, model=tf.Variable(0.0)).restore()[1] == history


def test_figures_of_an_evaluation_before_an_interruption_are_kept(tmp_path):
    def interrupt(step):
        if step == 3:
            raise _Killed
        return 1.0

    arguments = {"evaluate": _evaluate_constantly, "evaluate_every": 2}
    with pytest.raises(_Killed):
        _train(tmp_path, interrupt, **arguments)
    history, counter = _train(tmp_path, **arguments)
    assert counter == 11111.0
    assert [r["step"] for r in history if "dev_accuracy" in r] == [2, 4, 5]


def test_checkpoints_are_saved_at_the_interval_and_at_the_end(tmp_path):
    saved = []
    _train(tmp_path / "often", on_checkpoint=lambda: saved.append("often"))
    _train(tmp_path / "rarely", on_checkpoint=lambda: saved.append("rarely"), checkpoint_seconds=60)
    assert saved == ["often"] * 5 + ["rarely"]
    assert _restored(tmp_path / "rarely") == (5, 11111.0)


def test_a_resumed_training_logs_its_step(tmp_path, caplog):
    _train(tmp_path, total_steps=2)
    with caplog.at_level("INFO", logger="tf_efficientbert"):
        _train(tmp_path)
    assert "count: resumes after step 2 of 5" in [r.getMessage() for r in caplog.records]
