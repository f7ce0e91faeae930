"""Teacher outputs, computed per batch or cached."""

import gc
import logging
import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

from tests.models.small_models import small_architecture, small_backbone, small_task_model
from tests.models.small_text_models import TASKS
from tests.training.tiny_training import tiny_examples
from tf_efficientbert.data.batching import MODEL_INPUTS, EncodedExamples, TrainingBatches
from tf_efficientbert.distillation.cached_outputs import cached_outputs
from tf_efficientbert.distillation.teacher_pass import TeacherPass, TeachingOptions
from tf_efficientbert.errors import UserError

_EXAMPLES = tiny_examples(50)


def _teacher(kind="classification", dtype="float32"):
    architecture = small_architecture(embedding="bert")
    if kind == "text":
        return small_backbone(architecture, dtype=dtype), TASKS["classification"]
    return small_task_model(kind, architecture, dtype=dtype), TASKS[kind]


def _tensors(batch):
    return {name: tf.constant(array) for name, array in batch.items()}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["classification", "regression", "text"])
def test_cached_outputs_equal_computed_ones(kind, dtype):
    model, task = _teacher(kind, dtype)
    teacher = TeacherPass(model, False, task)
    examples = teacher.cached(_EXAMPLES, 2.0, True, 1.0)
    plain, with_outputs = (TrainingBatches(e, 8, seed=5) for e in (_EXAMPLES, examples))
    tolerance = 1e-5 if dtype == "float32" else 0.05
    for step in (0, 3, 9):
        batch = _tensors(with_outputs[step])
        for name in MODEL_INPUTS:
            np.testing.assert_array_equal(batch[name], plain[step][name])
        cached, computed = teacher(batch), teacher(_tensors(plain[step]))
        assert cached["logits"].dtype == computed["logits"].dtype
        np.testing.assert_allclose(
            *(np.float32(each["logits"]) for each in (cached, computed)), atol=tolerance
        )
        real = np.array(batch["padding_mask"], bool)
        assert not real.all()
        states = zip(cached["hidden_states"], computed["hidden_states"], strict=True)
        for state, expected in states:
            assert state.shape == expected.shape and state.dtype == expected.dtype
            state, expected = np.float32(state), np.float32(expected)
            np.testing.assert_allclose(state[real], expected[real], atol=tolerance)
            assert not state[~real].any()


def test_caching_is_reproducible():
    model, task = _teacher()
    batches = [TeacherPass(model, False, task).cached(_EXAMPLES, 2.0, True, 1.0) for _ in "12"]
    one, two = (cached_outputs(examples.padded(np.arange(50))) for examples in batches)
    np.testing.assert_array_equal(one["logits"], two["logits"])
    np.testing.assert_array_equal(one["hidden_states"], two["hidden_states"])


@pytest.mark.parametrize(
    ("attention", "epochs", "real_tokens_only", "memory"),
    [(True, 2.0, True, 1.0), (False, 1.0, True, 1.0), (False, 2.0, False, 1.0)]
    + [(False, 2.0, True, 0.0), (False, 2.0, True, 1e-7)],
)
def test_outputs_are_not_cached_if_it_is_useless_or_impossible(
    attention, epochs, real_tokens_only, memory, caplog
):
    model, task = _teacher()
    teacher = TeacherPass(model, attention, task)
    with caplog.at_level(logging.INFO, "tf_efficientbert"):
        assert teacher.cached(_EXAMPLES, epochs, real_tokens_only, memory) is _EXAMPLES
    assert ("--teacher_memory_gb=1e-07" in caplog.text) == (memory == 1e-7)


def test_the_needed_memory_is_that_of_the_hidden_states():
    model, task = _teacher()
    teacher = TeacherPass(model, False, task)
    layers = model.backbone.architecture.num_layers + 1
    needed = len(_EXAMPLES.token_ids) * layers * 24 * 4 / 1e9
    assert teacher.cached(_EXAMPLES, 2.0, True, needed * 0.999) is _EXAMPLES
    tracemalloc.start()
    taught = teacher.cached(_EXAMPLES, 2.0, True, needed * 1.001)
    gc.collect()
    with_outputs, _ = tracemalloc.get_traced_memory()
    del taught
    without, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert with_outputs - without == pytest.approx(needed * 1e9, rel=0.02)  # logits, and objects


def test_without_hidden_loss_only_logits_are_cached():
    model, task = _teacher()
    examples = TeacherPass(model, False, task, with_hidden=False).cached(
        _EXAMPLES, 2.0, real_tokens_only=False, memory_gb=1e-9
    )
    batch = examples.padded(np.arange(8))
    expected = model(_tensors({name: batch[name] for name in MODEL_INPUTS}))["logits"]
    assert cached_outputs(batch).keys() == {"logits"}
    np.testing.assert_allclose(cached_outputs(batch)["logits"], expected, atol=1e-5)


_TOO_MANY = 2**50  # no machine has the memory for so many numbers, nor the addresses


def _a_long_text(model):
    token_ids = np.broadcast_to(np.int32(1), _TOO_MANY)
    return model, EncodedExamples(token_ids, token_ids, np.array([0, _TOO_MANY]))


def _a_large_teacher(model):
    def large(inputs, training):
        outputs = model(inputs, training=training)
        much = tf.fill([_TOO_MANY], outputs["logits"][0, 0])
        return {**outputs, "logits": outputs["logits"] + tf.reduce_max(much)}

    return large, _EXAMPLES


@pytest.mark.parametrize("too_large", [_a_long_text, _a_large_teacher])
def test_too_little_memory_is_told_with_the_flag(too_large):
    model, task = _teacher()
    model, examples = too_large(model)
    with pytest.raises(UserError, match="lower --teacher_memory_gb"):
        TeacherPass(model, False, task).cached(examples, 2.0, True, 1e18)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_an_invalid_memory_limit_is_rejected(value):
    with pytest.raises(UserError, match="--teacher_memory_gb=.*: expected 0 or more"):
        TeachingOptions(teacher_memory_gb=value)
