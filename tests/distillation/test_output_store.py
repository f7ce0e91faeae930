"""Teacher outputs on disk."""

import json
import logging
import os

import numpy as np
import pytest
import tensorflow as tf

from tests.integration.small_disk import small_disk
from tests.models.small_models import small_architecture, small_task_model
from tests.training.tiny_training import tiny_examples
from tf_efficientbert.distillation.cached_outputs import cached_outputs
from tf_efficientbert.distillation.output_store import OutputStore, output_key
from tf_efficientbert.distillation.teacher_pass import TeacherPass, TeachingOptions
from tf_efficientbert.errors import UserError

_READS = ("hidden_states/1", "pooled", "logits")
_ARRAYS = {
    "hidden_states/1": np.arange(24, dtype=np.float32).reshape(6, 4),
    "logits": np.array([[1.5, -2.0]], tf.bfloat16.as_numpy_dtype),
}


def _teacher(seed=1, **arguments):
    return small_task_model(
        architecture=small_architecture(embedding="bert"), seed=seed, **arguments
    )


def _assert_equal(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype
        np.testing.assert_array_equal(one[name], other[name])


def test_an_entry_is_read_as_it_was_written(tmp_path):
    store = OutputStore(tmp_path / "outputs", 1.0)
    assert store.load("key") is None
    store.save("key", _ARRAYS)
    _assert_equal(OutputStore(tmp_path / "outputs", 1.0).load("key"), _ARRAYS)
    assert store.load("other") is None


def _truncated(entry):
    path = entry / "0.bin"
    path.write_bytes(path.read_bytes()[:-1])


def _changed(entry):
    content = bytearray((entry / "1.bin").read_bytes())
    content[0] ^= 1
    (entry / "1.bin").write_bytes(content)


def _garbage(entry):
    (entry / "manifest.json").write_text("{")


def _of_another_form(entry):
    (entry / "manifest.json").write_text(json.dumps({"logits": 3}))


def _without_a_file(entry):
    (entry / "0.bin").unlink()


@pytest.mark.parametrize(
    "damage", [_truncated, _changed, _garbage, _of_another_form, _without_a_file]
)
def test_a_damaged_entry_is_deleted_with_a_warning(tmp_path, damage, caplog):
    store = OutputStore(tmp_path, 1.0)
    store.save("key", _ARRAYS)
    damage(tmp_path / "key")
    with caplog.at_level(logging.WARNING, "tf_efficientbert"):
        assert store.load("key") is None
    assert f"{tmp_path / 'key'} is damaged and is computed again" in caplog.text
    assert not (tmp_path / "key").exists()
    store.save("key", _ARRAYS)
    _assert_equal(store.load("key"), _ARRAYS)


def test_the_least_recently_used_entries_are_deleted(tmp_path):
    array = {"logits": np.zeros(1000, np.float32)}
    store = OutputStore(tmp_path, 14_000 / 1e9)  # three entries and their manifests
    for number, name in enumerate(("one", "two", "three")):
        store.save(name, array)
        os.utime(tmp_path / name, (number, number))
    assert store.load("one") is not None  # used now
    store.save("four", array)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["four", "one", "three"]
    store.save("large", {"logits": np.zeros(4000, np.float32)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["four", "one", "three"]


def test_a_full_disk_costs_the_entry_but_not_the_job(tmp_path, caplog):
    with small_disk(tmp_path / "disk", "100k") as disk:
        store = OutputStore(disk / "outputs", 1.0)
        with caplog.at_level(logging.WARNING, "tf_efficientbert"):
            store.save("key", {"logits": np.random.default_rng(0).normal(size=50_000)})
        assert "teacher outputs are not kept on disk: the disk is full" in caplog.text
        assert store.load("key") is None
        store.save("small", _ARRAYS)
        _assert_equal(store.load("small"), _ARRAYS)


def test_a_key_depends_on_everything_that_outputs_depend_on():
    examples = tiny_examples(6)
    keys = {
        output_key([_teacher()], _READS, examples),
        output_key([_teacher(seed=2)], _READS, examples),
        output_key([_teacher(dtype="mixed_bfloat16")], _READS, examples),
        output_key([_teacher(layer_norm_epsilon=1e-3)], _READS, examples),
        output_key([_teacher(exact_gelu=True)], _READS, examples),
        output_key([_teacher(), _teacher(seed=2)], _READS, examples),
        output_key([_teacher()], _READS[:2], examples),
        output_key([_teacher()], _READS, tiny_examples(7)),
        output_key([_teacher()], _READS, examples.take(np.arange(6)[::-1])),
    }
    assert len(keys) == 9
    assert output_key([_teacher()], _READS, tiny_examples(6)) in keys  # other objects, same values


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_pass_reads_what_is_stored_and_computes_the_rest(tmp_path, dtype):
    examples, store, rows = tiny_examples(20), OutputStore(tmp_path, 1.0), np.arange(20)

    def outputs(teacher_pass, examples=examples, store=store):
        return cached_outputs(teacher_pass.cached(examples, 2.0, True, 1.0, store).padded(rows))

    teacher, other = _teacher(dtype=dtype), _teacher(seed=2, dtype=dtype)
    computed = outputs(TeacherPass(teacher, _READS))
    _assert_equal(computed, outputs(TeacherPass(teacher, _READS), store=None))
    # It would compute other outputs, but names the first teacher's network.
    pretends = TeacherPass(other, _READS, networks=[teacher])
    _assert_equal(computed, outputs(pretends))
    more = tiny_examples(21)
    _assert_equal(outputs(pretends, more), outputs(TeacherPass(other, _READS), more, None))


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf")])
def test_an_invalid_size_is_an_error(size):
    with pytest.raises(UserError, match="--teacher_cache_gb=.*: expected"):
        TeachingOptions(teacher_cache_gb=size)


def test_without_a_folder_there_is_no_store(tmp_path):
    assert TeachingOptions().output_store is None
    store = TeachingOptions(teacher_cache=str(tmp_path)).output_store
    store.save("key", _ARRAYS)
    assert (tmp_path / "key").is_dir()
