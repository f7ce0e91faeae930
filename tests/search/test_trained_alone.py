import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from tests.models.small_models import small_architecture
from tests.search.tiny_search import (
    ORDINARY,
    TASK_STEPS,
    TEXT_STEPS,
    WIDE,
    tiny_candidate,
    tiny_context,
    tiny_stage,
    with_learners,
)
from tests.training.tiny_training import tiny_examples
from tf_efficientbert.data.batching import EncodedExamples
from tf_efficientbert.distillation.cached_outputs import CachedTeacherOutputs
from tf_efficientbert.distillation.teacher_pass import PredictionsAlone
from tf_efficientbert.search.learner import Learner
from tf_efficientbert.search.phases import training_phases
from tf_efficientbert.search.trained_alone import TrainedAlone

_STEPS = TEXT_STEPS + TASK_STEPS


class _Killed(BaseException):
    """Not caught by the code under test."""


@pytest.fixture(scope="module")
def context():
    return tiny_context()


_FOUR = {
    4: tiny_candidate(),
    5: tiny_candidate((ORDINARY,) * 2),
    6: tiny_candidate(("linear1_3(relu(max(linear1_3(x,wb1),x)),wb2)", ORDINARY)),
    7: tiny_candidate(("linear2_4(swish(linear2_4(x,wb1)),wb2)",) * 2),
}


@pytest.fixture(scope="module")
def four(context, tmp_path_factory):
    """(folder, outcomes) of a group of four."""
    folder = tmp_path_factory.mktemp("four")
    return folder, TrainedAlone(context, tiny_stage(), folder).evaluate(_FOUR)


def test_a_candidate_scores_the_same_alone_as_in_a_group_of_four(context, four, tmp_path):
    alone = TrainedAlone(context, tiny_stage(), tmp_path).evaluate({6: _FOUR[6]})[6]
    grouped = four[1][6]
    assert alone.score == pytest.approx(grouped.score, abs=1e-6)
    assert alone.loss == pytest.approx(grouped.loss, abs=1e-6)
    np.testing.assert_allclose(alone.losses, grouped.losses, rtol=1e-6)


def test_an_outcome_has_score_loss_time_and_the_losses_of_all_steps(four):
    assert set(four[1]) == set(_FOUR)
    for outcome in four[1].values():
        assert outcome.score in (0.0, 0.25, 0.5, 0.75, 1.0)  # of four held-out examples
        assert 0 < outcome.loss < 10 and outcome.seconds > 0
        assert len(outcome.losses) == _STEPS and np.isfinite(outcome.losses).all()
        assert outcome.reason == ""
    assert len({outcome.loss for outcome in four[1].values()}) == 4


class _Dies(Learner):
    """Ends the process at its first step."""

    def learn(self, *arguments):
        raise _Killed


def test_a_group_is_not_trained_again_until_it_is_forgotten(context, four):
    folder, outcomes = four
    evaluator = TrainedAlone(with_learners(context, _Dies), tiny_stage(), folder)
    assert evaluator.evaluate(_FOUR) == outcomes
    evaluator.forget()
    assert not folder.exists()
    with pytest.raises(_Killed):
        evaluator.evaluate(_FOUR)


@pytest.mark.slow
def test_cached_teacher_outputs_give_the_same_result(tmp_path):
    outcomes = {}
    for memory in (0.0, 1.0):
        context = tiny_context(attention_ratio=0.0, teacher_memory_gb=memory)
        stage = dataclasses.replace(tiny_stage(), candidates=5)  # two groups
        evaluator = TrainedAlone(context, stage, tmp_path / str(memory))
        kinds = {type(phase.batches.examples) for phase in training_phases(context, stage)}
        assert kinds == {CachedTeacherOutputs if memory else EncodedExamples}
        outcomes[memory] = evaluator.evaluate({5: _FOUR[5]})[5]
    computed, cached = outcomes.values()
    assert cached.score == computed.score
    assert cached.loss == pytest.approx(computed.loss, rel=1e-4)
    np.testing.assert_allclose(cached.losses, computed.losses, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_teacher_predictions_give_the_same_result_as_the_teacher_s(tmp_path, kind):
    with_teacher = tiny_context(kind, attention_ratio=0.0)
    examples = with_teacher.examples.train
    batch = {name: tf.constant(part) for name, part in examples.padded(np.arange(16)).items()}
    logits = with_teacher.task_teacher(batch)["logits"].numpy()
    with_file = dataclasses.replace(
        with_teacher,
        task_teacher=PredictionsAlone(with_teacher.task),
        examples=dataclasses.replace(
            with_teacher.examples,
            for_distillation=CachedTeacherOutputs(examples, {"logits": logits}),
        ),
    )
    with_teacher = tiny_context(kind, hidden_ratio=0.0)
    outcomes = {}
    for name, context in {"teacher": with_teacher, "file": with_file}.items():
        evaluator = TrainedAlone(context, tiny_stage(text_share=0.0), tmp_path / name)
        outcomes[name] = evaluator.evaluate({5: _FOUR[5]})[5]
    expected, outcome = outcomes["teacher"], outcomes["file"]
    assert outcome.score == expected.score
    assert outcome.loss == pytest.approx(expected.loss, rel=1e-4)
    np.testing.assert_allclose(outcome.losses, expected.losses, rtol=1e-4)


@pytest.mark.slow
def test_training_on_text_does_not_depend_on_the_task_teacher(context, tmp_path):
    with_file = dataclasses.replace(
        context,
        task_teacher=PredictionsAlone(context.task),
        examples=dataclasses.replace(
            context.examples,
            for_distillation=CachedTeacherOutputs(
                context.examples.train, {"logits": np.zeros((16, 3), np.float32)}
            ),
        ),
    )
    expected, losses = (
        TrainedAlone(each, tiny_stage(), tmp_path / str(i)).evaluate({5: _FOUR[5]})[5].losses
        for i, each in enumerate((context, with_file))
    )
    assert losses[:TEXT_STEPS] == expected[:TEXT_STEPS]
    assert losses[TEXT_STEPS] != expected[TEXT_STEPS]


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_candidates_learn_from_unlabelled_examples_too(kind, tmp_path):
    context = tiny_context(kind)
    more = tiny_examples(20)
    if kind == "regression":
        more = dataclasses.replace(more, labels=np.linspace(-1, 1, 20, dtype=np.float32))
    examples = dataclasses.replace(context.examples, unlabelled=more)
    labelled, both = context.examples.on_task(0.25, 1.0), examples.on_task(0.25, 1.0)
    assert (len(labelled), len(both)) == (12, 12 + 15)  # 12 of 16, and 15 of 20
    assert len(examples.on_task(0.25, 0.5)) == 6 + 8
    np.testing.assert_array_equal(
        examples.held_out(0.25).token_ids, context.examples.held_out(0.25).token_ids
    )
    if kind == "classification":
        return  # one training is enough: a regression's step takes the labels as well
    with_more = dataclasses.replace(context, examples=examples)
    evaluator = TrainedAlone(with_more, tiny_stage(text_share=0.0, task_epochs=1.0), tmp_path)
    outcome = evaluator.evaluate({5: _FOUR[5]})[5]
    assert len(outcome.losses) == 7 and np.isfinite(outcome.losses).all()
    assert outcome.score is not None


class _Idles(Learner):
    """Learns nothing."""

    def learn(self, *arguments):
        return 1.0


def test_a_candidate_without_finite_logits_fails(context, tmp_path):
    class _NanLogits(_Idles):
        def logits(self, inputs):
            return tf.fill([4, 3], math.nan)

    evaluator = TrainedAlone(
        with_learners(context, _NanLogits), tiny_stage(text_share=0.0), tmp_path
    )
    outcome = evaluator.evaluate({0: _FOUR[5]})[0]
    assert outcome.score is None
    assert "logits on the held-out examples, or their score, are not finite" in outcome.reason


def test_a_candidate_that_cannot_be_built_or_trained_does_not_affect_its_group(context, tmp_path):
    unbuilt = small_architecture((ORDINARY,) * 3, **WIDE)  # the supernet has two layers

    class _StacksAreTooLarge(_Idles):
        def learn(self, *arguments):
            if len(self.model.backbone.cells[0].feed_forwards) == 2:
                raise tf.errors.ResourceExhaustedError(None, None, "no room")
            return super().learn(*arguments)

    group = {0: unbuilt, 1: _FOUR[4], 2: _FOUR[5]}
    context = with_learners(context, _StacksAreTooLarge)
    outcomes = TrainedAlone(context, tiny_stage(), tmp_path).evaluate(group)
    assert [outcomes[index].score is None for index in group] == [True, True, False]
    assert outcomes[0].reason.startswith("cannot be built: 3 layers are not a multiple")
    assert outcomes[1].reason == "out of memory: no room"


class _Diverges(Learner):
    def learn(self, *arguments):
        return math.inf


def test_every_candidate_of_a_failed_group_has_a_reason(context, tmp_path):
    evaluator = TrainedAlone(with_learners(context, _Diverges), tiny_stage(), tmp_path)
    for outcome in evaluator.evaluate({4: _FOUR[4], 5: _FOUR[5]}).values():
        assert outcome.reason == f"diverged: its loss is not finite at step 1 of {_STEPS}"


def test_running_out_of_memory_is_still_a_failure_after_a_kill(context, tmp_path):
    class _TooLargeAtStep1(_Idles):
        def learn(self, batch, teacher_outputs, step, *others):
            if step == 1 and self.model.backbone.architecture == _FOUR[4]:
                raise tf.errors.ResourceExhaustedError(None, None, "no room")
            if step == 2 and first:
                raise _Killed
            return super().learn()

    frequent = dataclasses.replace(with_learners(context, _TooLargeAtStep1), checkpoint_seconds=0.0)
    group, first = {4: _FOUR[4], 5: _FOUR[5]}, True
    with pytest.raises(_Killed):
        TrainedAlone(frequent, tiny_stage(), tmp_path).evaluate(group)
    first = False
    outcomes = TrainedAlone(frequent, tiny_stage(), tmp_path).evaluate(group)
    assert outcomes[4].reason == "out of memory: no room"
    assert outcomes[5].score is not None


def test_a_candidate_that_runs_out_of_memory_in_its_group_is_trained_alone(context, four, tmp_path):
    refused = []

    class _OutOfMemoryOnce(Learner):
        def learn(self, *arguments):
            if self.model.backbone.architecture == _FOUR[6] and not refused:
                refused.append(True)
                raise tf.errors.ResourceExhaustedError(None, None, "no room")
            return super().learn(*arguments)

    group = {index: _FOUR[index] for index in (5, 6)}
    context = with_learners(context, _OutOfMemoryOnce)
    outcomes = TrainedAlone(context, tiny_stage(), tmp_path).evaluate(group)
    assert refused
    for index in group:
        assert outcomes[index].score == four[1][index].score
        assert outcomes[index].loss == pytest.approx(four[1][index].loss, abs=1e-6)


def test_a_regression_is_scored_by_correlation_and_squared_error(tmp_path):
    context = tiny_context("regression", dropout=0.0)
    stage = tiny_stage(task_epochs=1.0)
    learners = []

    class _Remembered(Learner):
        def logits(self, inputs):
            learners.append(self)
            return super().logits(inputs)

    evaluator = TrainedAlone(with_learners(context, _Remembered), stage, tmp_path)
    outcome = evaluator.evaluate({0: _FOUR[5]})[0]
    learner = learners[-1]
    learner.weights.write_back()
    examples = context.examples.held_out(stage.held_out)
    logits = learner.model(examples.padded(np.arange(4)))["logits"].numpy()
    expected = context.task.score(logits, examples.labels)["pearson"]
    assert outcome.score == pytest.approx(expected, abs=1e-5)
    assert outcome.loss == pytest.approx(np.mean((logits - examples.labels) ** 2), rel=1e-5)
    assert np.isfinite(outcome.losses).all() and outcome.losses[-1] < outcome.losses[TEXT_STEPS]
