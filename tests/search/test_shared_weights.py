import dataclasses
import math
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.models.small_text_models import TASKS
from tests.search.tiny_search import (
    TASK_STEPS,
    TEXT_STEPS,
    tiny_candidate,
    tiny_context,
    tiny_stage,
    with_learners,
)
from tf_efficientbert.architecture import Architecture
from tf_efficientbert.distillation.inheritance import new_student
from tf_efficientbert.errors import UserError
from tf_efficientbert.search.budget import Budget
from tf_efficientbert.search.held_out import HeldOut
from tf_efficientbert.search.learner import Learner
from tf_efficientbert.search.shared_weights import SharedWeights, choices_of
from tf_efficientbert.search.space import SizeSpace

_STEPS = TEXT_STEPS + TASK_STEPS


@pytest.fixture(scope="module")
def context():
    return tiny_context()


_BEST = tiny_candidate()
_EXACT = Budget(0, 10**9, 24, 40, 16).parameters(_BEST)
_BUDGET = Budget(_EXACT - 3000, _EXACT + 3000, 24, 40, 16)
_SPACE = SizeSpace(_BEST, _BUDGET)
_STAGE = tiny_stage("sizes", searched=("stack", "ratio"))


class _Diverges(Learner):
    def learn(self, *arguments):
        return math.inf


def _shared(context, folder, seen):
    """Trains the supernet; adds {step: (choices, loss)} to `seen`."""

    class _Watched(Learner):
        def learn(self, batch, teacher_outputs, step, *others):
            loss = super().learn(batch, teacher_outputs, step, *others)
            seen[step] = batch["choices"].numpy().tolist(), loss
            return loss

    return SharedWeights(with_learners(context, _Watched), _STAGE, _BEST, _SPACE, folder)


@pytest.fixture(scope="module")
def shared(context, tmp_path_factory):
    """(evaluator, {step: (choices, loss)}, folder with its last two checkpoints)."""
    seen, folder = {}, tmp_path_factory.mktemp("shared")
    frequent = dataclasses.replace(context, checkpoint_seconds=0.0)
    return _shared(frequent, folder, seen), seen, folder


def _drawn(count):
    return {index: _SPACE.draw(str(index)) for index in range(count)}


def test_the_number_of_traces_does_not_grow_with_the_candidates(shared):
    evaluator = shared[0]
    evaluator.evaluate({0: _BEST})
    traces = evaluator.traces
    outcomes = evaluator.evaluate(_drawn(30))
    assert len({outcome.loss for outcome in outcomes.values()}) > 10
    assert evaluator.traces == traces == 2  # of a step, of the logits


def test_a_slice_scores_the_same_as_a_separate_network_with_its_weights(context, shared):
    evaluator = shared[0]
    model = evaluator.model
    held_out = HeldOut(context.task, context.examples.held_out(_STAGE.held_out))
    for architecture in _drawn(4).values():
        alone = new_student(architecture, model.backbone, TASKS["classification"], dropout=0.0)
        alone.head.set_weights(model.head.get_weights())

        class _Alone:
            def logits(self, inputs, alone=alone):
                return alone(inputs)["logits"]

        class _Sliced:
            def logits(self, inputs, cells=architecture.cells):
                return model(inputs, cells=cells)["logits"]

        outcome = evaluator.evaluate({0: architecture})[0]
        for other in (_Alone(), _Sliced()):
            value, loss = held_out.score(other)
            assert outcome.score == value
            assert outcome.loss == pytest.approx(loss, abs=1e-6)


def _with_choices(choices) -> Architecture:
    formulas = [
        str(cell.expression).replace(f"{cell.stack}_{cell.ratio.denominator}", f"{stack}_{part}")
        for cell, (stack, part) in zip(_BEST.cells, choices, strict=True)
    ]
    return tiny_candidate(formulas)


def test_each_step_trains_one_random_candidate_within_the_budget(shared):
    seen = shared[1]
    assert sorted(seen) == list(range(_STEPS))
    trained = [_with_choices(choices) for choices, _ in seen.values()]
    assert all(_BUDGET.holds(architecture) for architecture in trained)
    assert len(set(trained)) > _STEPS / 2
    for architecture, (choices, _) in zip(trained, seen.values(), strict=True):
        assert choices_of(architecture).tolist() == choices


def test_notes_contain_the_losses_and_time_of_the_shared_training(shared):
    notes = shared[0].notes
    losses = [{"step": step + 1, "loss": loss} for step, (_, loss) in shared[1].items()]
    assert notes["training"] == losses
    assert notes["training_seconds"] > 0


def test_the_supernet_has_each_formula_at_the_largest_stack_and_ratio_that_fit(shared):
    cells = shared[0].model.backbone.architecture.cells
    assert [cell.formula for cell in cells] == [cell.formula for cell in _BEST.cells]
    assert [(cell.stack, cell.ratio.denominator) for cell in cells] == [(4, 1), (4, 3)]


@pytest.mark.slow
def test_a_killed_supernet_training_resumes_with_the_same_losses_and_weights(
    context, shared, tmp_path
):
    evaluator, expected, folder = shared
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    newest = tmp_path / "task" / f"step-{TASK_STEPS:08d}"
    shutil.rmtree(newest)  # the process died before it was written
    seen = {}
    again = _shared(context, tmp_path, seen)
    assert seen == {_STEPS - 1: expected[_STEPS - 1]}
    assert again.notes["training"] == evaluator.notes["training"]
    for one, other in zip(again.model.weights, evaluator.model.weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_supernet_that_ran_out_of_memory_resumes_from_its_last_checkpoint(
    context, shared, tmp_path
):
    fails_at, seen = TASK_STEPS + 1, []

    class _OutOfMemory(Learner):
        def learn(self, batch, teacher_outputs, step, *others):
            if step == fails_at:
                raise tf.errors.ResourceExhaustedError(None, None, "no room")
            seen.append(step)
            return super().learn(batch, teacher_outputs, step, *others)

    frequent = dataclasses.replace(with_learners(context, _OutOfMemory), checkpoint_seconds=0.0)
    for _ in range(2):
        with pytest.raises(UserError, match="sizes: .*: out of memory: no room. Start again"):
            SharedWeights(frequent, _STAGE, _BEST, _SPACE, tmp_path)
    fails_at = None
    again = SharedWeights(frequent, _STAGE, _BEST, _SPACE, tmp_path)
    assert seen == list(range(_STEPS))
    assert again.notes["training"] == shared[0].notes["training"]


def test_a_supernet_that_diverges_is_an_error(context, tmp_path):
    context = with_learners(context, _Diverges)
    with pytest.raises(UserError, match="sizes: .* shared supernet failed: diverged.* step 1"):
        SharedWeights(context, _STAGE, _BEST, _SPACE, tmp_path)
