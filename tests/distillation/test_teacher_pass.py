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
from tf_efficientbert.distillation.cached_outputs import CachedTeacherOutputs, cached_outputs
from tf_efficientbert.distillation.teacher_pass import (
    PredictionsAlone,
    TeacherPass,
    TeachingOptions,
    blank_filled,
)
from tf_efficientbert.errors import UserError

_EXAMPLES = tiny_examples(50)
_STATES = tuple(f"hidden_states/{i}" for i in range(4))
_RELATIONS = ("queries/2", "keys/2", "values/2")
_PER_TOKEN = (*_STATES, *_RELATIONS, "start_logits", "end_logits")


def _teacher(kind="classification", dtype="float32"):
    architecture = small_architecture(embedding="bert")
    if kind == "text":
        return small_backbone(architecture, dtype=dtype)
    return small_task_model(kind, architecture, dtype=dtype)


def _tensors(batch):
    return {name: tf.constant(array) for name, array in batch.items()}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("kind", "reads"),
    [
        ("classification", (*_STATES, "logits")),
        ("classification", ("pooled", "logits")),
        ("regression", ("hidden_states/0", "logits")),
        ("span", ("hidden_states/3", "start_logits", "end_logits")),
        ("text", (*_RELATIONS, "hidden_states/1")),
    ],
)
def test_cached_outputs_equal_computed_ones(kind, reads, dtype):
    teacher = TeacherPass(_teacher(kind, dtype), reads)
    examples = teacher.cached(_EXAMPLES, 2.0, True, 1.0)
    assert isinstance(examples, CachedTeacherOutputs)
    plain, with_outputs = (TrainingBatches(e, 8, seed=5) for e in (_EXAMPLES, examples))
    tolerance = 1e-5 if dtype == "float32" else 0.05
    for step in (0, 3, 9):
        batch = _tensors(with_outputs[step])
        for name in MODEL_INPUTS:
            np.testing.assert_array_equal(batch[name], plain[step][name])
        cached, computed = teacher(batch), teacher(_tensors(plain[step]))
        assert cached.keys() == computed.keys() == set(reads)
        real = np.array(batch["padding_mask"], bool)
        assert not real.all()
        for name in reads:
            assert cached[name].shape == computed[name].shape
            assert cached[name].dtype == computed[name].dtype
            ours, theirs = np.float32(cached[name]), np.float32(computed[name])
            if name in _PER_TOKEN:
                assert not ours[~real].any()
                ours, theirs = ours[real], theirs[real]
            np.testing.assert_allclose(ours, theirs, atol=tolerance)


def test_caching_is_reproducible():
    model, reads = _teacher(), ("hidden_states/2", "logits")
    batches = [TeacherPass(model, reads).cached(_EXAMPLES, 2.0, True, 1.0) for _ in "12"]
    one, two = (cached_outputs(examples.padded(np.arange(50))) for examples in batches)
    for name in reads:
        np.testing.assert_array_equal(one[name], two[name])


@pytest.mark.parametrize(
    ("reads", "epochs", "ignores_padding", "memory"),
    [
        (("logits", "attention_scores/0"), 2.0, True, 1.0),
        (("logits",), 1.0, True, 1.0),
        (("logits",), 2.0, False, 1.0),
        (("logits",), 2.0, True, 0.0),
        (("logits", "hidden_states/0"), 2.0, True, 1e-7),
        ((), 2.0, True, 1.0),
    ],
)
def test_outputs_are_not_cached_if_it_is_useless_or_impossible(
    reads, epochs, ignores_padding, memory, caplog
):
    teacher = TeacherPass(_teacher(), reads)
    with caplog.at_level(logging.INFO, "tf_efficientbert"):
        assert teacher.cached(_EXAMPLES, epochs, ignores_padding, memory) is _EXAMPLES
    assert ("--teacher_memory_gb=1e-07" in caplog.text) == (memory == 1e-7)


@pytest.mark.parametrize("reads", [_STATES, _STATES[1:2], _RELATIONS])
def test_the_needed_memory_is_that_of_what_is_read_of_each_token(reads):
    teacher = TeacherPass(_teacher(), (*reads, "logits"))
    needed = len(_EXAMPLES.token_ids) * len(reads) * 24 * 4 / 1e9
    assert teacher.cached(_EXAMPLES, 2.0, True, needed * 0.999) is _EXAMPLES
    tracemalloc.start()
    taught = teacher.cached(_EXAMPLES, 2.0, True, needed * 1.001)
    gc.collect()
    with_outputs, _ = tracemalloc.get_traced_memory()
    del taught
    without, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The rest are logits and objects.
    assert with_outputs - without == pytest.approx(needed * 1e9, rel=0.02, abs=2000)


def test_in_a_graph_only_outputs_that_are_not_cached_are_computed():
    model, calls = _teacher(), []

    def counted(inputs, training):
        calls.append(inputs)
        return model(inputs, training=training)

    reads = ("hidden_states/1", "logits")
    logits = np.arange(150, dtype=np.float32).reshape(50, 3)
    partly = CachedTeacherOutputs(_EXAMPLES, {"logits": logits}).padded(np.arange(8))
    outputs = TeacherPass(counted, reads).in_graph(_tensors(partly))
    np.testing.assert_array_equal(outputs["logits"], logits[:8])
    expected = model(_tensors({name: partly[name] for name in MODEL_INPUTS}))
    np.testing.assert_allclose(outputs["hidden_states/1"], expected["hidden_states"][1], atol=1e-5)
    assert len(calls) == 1
    assert TeacherPass(counted, ("logits",)).in_graph(_tensors(partly)).keys() == {"logits"}
    assert len(calls) == 1


def test_missing_outputs_are_filled_with_zeros_of_the_batch_s_size():
    specs = TeacherPass(_teacher(), ("attention_scores/1", "hidden_states/0", "logits")).specs
    batch = _tensors(_EXAMPLES.padded(np.arange(3)))
    tokens = batch["token_ids"].shape[1]
    logits = tf.ones([3, 3])
    filled = blank_filled({"logits": logits}, specs, batch)
    assert filled["logits"] is logits
    assert filled["attention_scores/1"].shape == (3, 4, tokens, tokens)
    assert filled["hidden_states/0"].shape == (3, tokens, 24)
    assert not np.any(filled["attention_scores/1"]) and not np.any(filled["hidden_states/0"])


@pytest.mark.parametrize(
    ("kind", "shapes"), [("classification", {"logits": (None, 3)}), ("regression", {})]
)
def test_predictions_alone_supply_what_the_loss_reads_of_the_head(kind, shapes):
    alone = PredictionsAlone(TASKS[kind])
    assert {name: tuple(spec.shape) for name, spec in alone.specs.items()} == shapes
    assert alone.reads == tuple(shapes)


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
    model, examples = too_large(_teacher())
    with pytest.raises(UserError, match="lower --teacher_memory_gb"):
        TeacherPass(model, ("hidden_states/0", "logits")).cached(examples, 2.0, True, 1e18)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_an_invalid_memory_limit_is_rejected(value):
    with pytest.raises(UserError, match="--teacher_memory_gb=.*: expected 0 or more"):
        TeachingOptions(teacher_memory_gb=value)
