import dataclasses
import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.small_text_models import TASKS
from tests.search.tiny_search import (
    ORDINARY,
    TASK_STEPS,
    TEXT_STEPS,
    tiny_candidate,
    tiny_context,
    tiny_stage,
)
from tf_efficientbert.distillation.cached_outputs import CachedTeacherOutputs
from tf_efficientbert.distillation.inheritance import new_student
from tf_efficientbert.distillation.objective import Objective
from tf_efficientbert.distillation.teacher_pass import blank_filled
from tf_efficientbert.errors import UserError
from tf_efficientbert.search.group import train_group
from tf_efficientbert.search.learner import Learner
from tf_efficientbert.search.phases import training_phases

_STEPS = TEXT_STEPS + TASK_STEPS
_CANDIDATES = [tiny_candidate(), tiny_candidate((ORDINARY,) * 2)]
_POISONED_AT, _KILLED_AT = 4, 6


class _Killed(BaseException):
    """Not caught by the code under test."""


class _Diverges(Learner):
    """One of its weights becomes NaN at step `_POISONED_AT`."""

    def learn(self, batch, teacher_outputs, step, learning_rate, scales):
        if step == _POISONED_AT:
            kernel = self.weights.variables[0]
            kernel.assign(tf.tensor_scatter_nd_update(kernel.value, [[5000]], [np.nan]))
        return super().learn(batch, teacher_outputs, step, learning_rate, scales)


class _TooLarge(Learner):
    """Runs out of memory."""

    def learn(self, *arguments):
        raise tf.errors.ResourceExhaustedError(None, None, "no room for a tensor\nat: ...")


@pytest.fixture(scope="module")
def context():
    return tiny_context()


def _learner(context, kind=Learner, candidate=0):
    keras.utils.set_random_seed(candidate)
    student = new_student(
        _CANDIDATES[candidate], context.supernet, TASKS["classification"], context.dropout
    )
    task = TASKS["classification"]
    return kind(student, context.objective, 40 + candidate, task, context.teacher_specs)


def _train(context, learners, folder, phases=None, **arguments):
    return train_group(
        learners=learners,
        phases=phases or training_phases(context, tiny_stage()),
        folder=folder,
        name="tiny",
        checkpoint_seconds=0.0,
        **arguments,
    )


@pytest.fixture(scope="module")
def trained(context, tmp_path_factory):
    """(learners, history, failures) of four networks, two of which fail, not interrupted."""
    learners = {
        3: _learner(context),
        5: _learner(context, _TooLarge),
        8: _learner(context, _Diverges),
        9: _learner(context, candidate=1),
    }
    history = _train(context, learners, tmp_path_factory.mktemp("group"))
    return learners, history, _failures(learners)


def _failures(learners):
    return {key: learner.failure for key, learner in learners.items() if learner.failure}


def _losses(history, key):
    return [record[f"loss_{key}"] for record in history if f"loss_{key}" in record]


def test_a_network_learns_the_same_alone_and_with_others_that_fail(context, trained, tmp_path):
    alone = {3: _learner(context)}
    history = _train(context, alone, tmp_path)
    assert _failures(alone) == {}
    np.testing.assert_allclose(_losses(history, 3), _losses(trained[1], 3), rtol=1e-6)
    for one, other in zip(alone[3].weights.variables, trained[0][3].weights.variables, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_failed_networks_are_left_out_with_a_reason_and_the_others_continue(trained):
    _, history, reasons = trained
    assert reasons == {
        5: "out of memory: no room for a tensor",
        8: f"diverged: its loss is not finite at step {_POISONED_AT + 1} of {_STEPS}",
    }
    lengths = {key: len(_losses(history, key)) for key in (3, 5, 8, 9)}
    assert lengths == {3: _STEPS, 5: 0, 8: _POISONED_AT, 9: _STEPS}
    assert np.isfinite([*_losses(history, 3), *_losses(history, 9)]).all()


def test_a_network_learns_normally_until_it_fails(trained):
    _, history, _ = trained
    expected = _losses(history, 3)[:_POISONED_AT]
    np.testing.assert_allclose(_losses(history, 8), expected, rtol=1e-6)


def test_losses_fall_and_a_record_has_the_mean_of_the_remaining_networks(trained):
    _, history, _ = trained
    for key in (3, 9):
        losses = _losses(history, key)
        assert losses[TEXT_STEPS - 1] < losses[0] and losses[-1] < losses[TEXT_STEPS]
    for number, record in enumerate(history):
        keys = (3, 8, 9) if number < _POISONED_AT else (3, 9)
        assert record["loss"] == pytest.approx(np.mean([record[f"loss_{key}"] for key in keys]))


def test_each_phase_resets_the_optimizer(trained):
    learner = trained[0][3]
    optimizer = learner.trackables["optimizer"]
    assert int(optimizer.iterations) == TASK_STEPS
    assert any(variable.numpy().any() for variable in optimizer.variables[2:])
    learner.restart_optimizer()
    assert not any(variable.numpy().any() for variable in optimizer.variables)


def test_a_step_is_traced_once_for_both_phases_and_all_lengths(context, trained):
    lengths = set()
    for phase in training_phases(context, tiny_stage()):
        lengths |= {phase.batches[step]["token_ids"].shape[1] for step in range(phase.steps)}
    assert len(lengths) > 1
    assert [trained[0][key].traces for key in (3, 9)] == [
        1,
        1,
    ]  # of the step; logits were not computed


@pytest.mark.slow
def test_a_group_killed_in_both_phases_ends_with_the_same_weights(context, trained, tmp_path):
    kills = [1, _KILLED_AT]

    class _Interrupted(Learner):
        def learn(self, batch, teacher_outputs, step, *others):
            if step in kills:
                kills.remove(step)
                raise _Killed
            return super().learn(batch, teacher_outputs, step, *others)

    def fresh():
        return {3: _learner(context, _Interrupted), 8: _learner(context, _Diverges)}

    while kills:
        with pytest.raises(_Killed):
            _train(context, fresh(), tmp_path)
    learners = fresh()
    history = _train(context, learners, tmp_path)
    assert _failures(learners) == {8: trained[2][8]}
    for key in (3, 8):
        assert _losses(history, key) == _losses(trained[1], key)
    for one, other in zip(
        learners[3].weights.variables, trained[0][3].weights.variables, strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_group_without_remaining_networks_stops_without_a_checkpoint(context, tmp_path):
    learners = {2: _learner(context, _TooLarge), 4: _learner(context, _TooLarge, candidate=1)}
    history = _train(context, learners, tmp_path)
    assert _failures(learners) == dict.fromkeys((2, 4), "out of memory: no room for a tensor")
    assert [set(record) for record in history] == [{"step", "loss", "seconds"}]
    assert not list(tmp_path.rglob("step-*"))


def test_a_memory_error_of_python_is_a_failure_too(context, tmp_path):
    class _NoMemory(Learner):
        def learn(self, *arguments):
            raise MemoryError

    learner = _learner(context, _NoMemory)
    _train(context, {0: learner}, tmp_path)
    assert learner.failure == "out of memory: MemoryError"


def test_a_teacher_that_runs_out_of_memory_is_an_error(context, tmp_path):
    def teach(inputs):
        raise tf.errors.ResourceExhaustedError(None, None, "no room for a tensor")

    phases = [
        dataclasses.replace(phase, teacher=teach)
        for phase in training_phases(context, tiny_stage())
    ]
    with pytest.raises(UserError, match="the teacher ran out of memory on a batch of 4 examples"):
        _train(context, {0: _learner(context)}, tmp_path, phases)


# === On text ===


@pytest.fixture(scope="module")
def on_text():
    """(losses before, learner, its loss) of one step on text without dropout."""
    context = tiny_context(dropout=0.0)
    phase = training_phases(context, tiny_stage())[0]
    learner = _learner(context)
    batch = {name: tf.constant(array) for name, array in phase.batches[0].items()}
    teacher_outputs = phase.teacher(batch)
    of_encoders = [term for term in context.objective.terms if term.name != "prediction"]
    objective = Objective(tuple(of_encoders))
    before = objective.compare(teacher_outputs, learner.model.backbone(batch), batch)
    filled = blank_filled(teacher_outputs, context.teacher_specs, batch)
    loss = learner.learn(batch, filled, 0, 0.1, phase.scales)
    return before, learner, loss


def test_on_text_the_loss_equals_that_of_bare_encoders(on_text):
    before, _, loss = on_text
    assert set(before) == {"loss", "hidden", "attention"}
    assert loss == pytest.approx(float(before["loss"]), rel=1e-5)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_on_text_the_predictions_have_a_scale_of_0(kind):
    text, task = training_phases(tiny_context(kind), tiny_stage())
    assert (text.scales, task.scales) == ((1.0, 1.0, 0.0), (1.0, 1.0, 1.0))


def test_without_a_loss_on_text_there_is_no_phase_on_text():
    context = tiny_context(hidden_ratio=0.0)
    assert [phase.name for phase in training_phases(context, tiny_stage())] == ["task"]


def test_on_text_the_head_is_only_decayed(on_text):
    _, learner, _ = on_text
    before = [weight.numpy() for weight in learner.model.head.weights]
    backbone = learner.model.backbone.embedding.projection.kernel.numpy()
    learner.weights.write_back()
    assert np.abs(learner.model.backbone.embedding.projection.kernel - backbone).max() > 0.05
    for weight, value in zip(learner.model.head.weights, before, strict=True):
        # Only weight decay: 0.01 times the rate of 0.1.
        decayed = value * (0.999 if weight.name == "kernel" else 1.0)
        np.testing.assert_allclose(weight, decayed, rtol=1e-5)


@pytest.mark.parametrize(("group_size", "is_cached"), [(4, False), (3, True)])
def test_teacher_outputs_are_cached_if_more_than_one_group_uses_them(group_size, is_cached):
    context = dataclasses.replace(
        tiny_context(attention_ratio=0.0, teacher_memory_gb=1.0), group_size=group_size
    )
    text = training_phases(context, tiny_stage(text_epochs=1.0))[0]
    assert isinstance(text.batches.examples, CachedTeacherOutputs) == is_cached


def test_a_fraction_of_an_epoch_has_at_least_one_step(context):
    text, task = training_phases(context, tiny_stage(text_epochs=0.01, task_epochs=0.5))
    assert (text.steps, task.steps) == (1, 2)


@pytest.mark.parametrize("nothing", ["text_share", "text_epochs"])
def test_without_text_the_task_is_the_only_phase(context, nothing):
    phases = training_phases(context, tiny_stage(**{nothing: 0.0}))
    assert [phase.name for phase in phases] == ["task"]


def test_held_out_examples_are_not_trained_on(context):
    stage = dataclasses.replace(tiny_stage(), held_out=0.5)
    trained_on = training_phases(context, stage)[-1].batches.examples
    both = [trained_on, context.examples.held_out(stage.held_out)]
    assert [len(examples) for examples in both] == [8, 8]
    texts = [
        {tuple(each.token_ids[a:b]) for a, b in zip(each.offsets, each.offsets[1:], strict=False)}
        for each in both
    ]
    assert not texts[0] & texts[1]


def test_a_trained_network_and_its_graphs_are_freed(context, tmp_path):
    learner = _learner(context)
    network = weakref.ref(learner.model)
    _train(context, {0: learner}, tmp_path)
    del learner
    gc.collect()
    assert network() is None
