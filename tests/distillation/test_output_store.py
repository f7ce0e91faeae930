"""Teacher outputs on disk."""

import dataclasses
import hashlib
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
_KEY, _OTHER_KEY = "0a" * 16, "1b" * 16
_ARRAYS = {
    "hidden_states/1": np.arange(24, dtype=np.float32).reshape(6, 4),
    "logits": np.array([[1.5, -2.0]], tf.bfloat16.as_numpy_dtype),
}


_FORMS = {name: (array.shape, array.dtype) for name, array in _ARRAYS.items()}


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
    assert store.load(_KEY, _FORMS) is None
    store.save(_KEY, _ARRAYS)
    _assert_equal(OutputStore(tmp_path / "outputs", 1.0).load(_KEY, _FORMS), _ARRAYS)
    assert store.load(_OTHER_KEY, _FORMS) is None


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


def _a_list(entry):
    (entry / "manifest.json").write_text("[]")


def _of_another_size(entry):
    content = (entry / "0.bin").read_bytes()[:-16]
    (entry / "0.bin").write_bytes(content)
    about = json.loads((entry / "manifest.json").read_text())
    about["hidden_states/1"]["sha256"] = hashlib.sha256(content).hexdigest()
    (entry / "manifest.json").write_text(json.dumps(about))


def _without_a_file(entry):
    (entry / "0.bin").unlink()


@pytest.mark.parametrize(
    "damage",
    [_truncated, _changed, _garbage, _of_another_form, _a_list, _of_another_size, _without_a_file],
)
def test_a_damaged_entry_is_deleted_with_a_warning(tmp_path, damage, caplog):
    store = OutputStore(tmp_path, 1.0)
    store.save(_KEY, _ARRAYS)
    damage(tmp_path / _KEY)
    with caplog.at_level(logging.WARNING, "tf_efficientbert"):
        assert store.load(_KEY, _FORMS) is None
    assert f"{tmp_path / _KEY} is damaged and is computed again" in caplog.text
    assert not (tmp_path / _KEY).exists()
    store.save(_KEY, _ARRAYS)
    _assert_equal(store.load(_KEY, _FORMS), _ARRAYS)


def test_the_least_recently_used_entries_are_deleted_and_nothing_else(tmp_path):
    array = {"logits": np.zeros(1000, np.float32)}
    forms = {"logits": ((1000,), np.dtype(np.float32))}
    foreign = [tmp_path / "runs" / "model.keras", tmp_path / "notes.txt"]
    foreign[0].parent.mkdir()
    for path in foreign:
        path.write_bytes(b"x" * 10_000)
    (tmp_path / f".{_KEY}.new").mkdir()  # of a killed process
    store = OutputStore(tmp_path, 14_000 / 1e9)  # three entries and their manifests
    one, two, three, four = (digit * 32 for digit in "1234")
    for number, key in enumerate((one, two, three)):
        store.save(key, array)
        os.utime(tmp_path / key, (number, number))
    assert store.load(one, forms) is not None  # used now
    store.save(four, array)
    store.save("5" * 32, {"logits": np.zeros(4000, np.float32)})  # larger than all may be
    assert {path.name for path in tmp_path.iterdir() if path.name[0] != "."} == {
        *(one, three, four),
        *("runs", "notes.txt"),
    }
    assert all(path.exists() for path in foreign)
    assert not (tmp_path / f".{_KEY}.new").exists()


def test_a_nearly_full_disk_costs_the_entry_but_not_the_job(tmp_path, caplog):
    with small_disk(tmp_path / "disk", "300k") as disk:
        store = OutputStore(disk / "outputs", 1.0)
        with caplog.at_level(logging.INFO, "tf_efficientbert"):
            store.save(_KEY, {"logits": np.random.default_rng(0).normal(size=20_000)})
        assert "no space to keep 0.00016 GB of teacher outputs on disk" in caplog.text
        assert store.load(_KEY, _FORMS) is None
        store.save(_OTHER_KEY, _ARRAYS)
        _assert_equal(store.load(_OTHER_KEY, _FORMS), _ARRAYS)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--teacher_cache=.*file.* cannot be written"):
        OutputStore(tmp_path / "file" / "outputs", 1.0)


def test_a_key_depends_on_everything_that_outputs_depend_on():
    examples = tiny_examples(6)
    keys = {
        _key([_teacher()], _READS, examples),
        _key([_teacher(seed=2)], _READS, examples),
        _key([_teacher(dtype="mixed_bfloat16")], _READS, examples),
        _key([_teacher(layer_norm_epsilon=1e-3)], _READS, examples),
        _key([_teacher(exact_gelu=True)], _READS, examples),
        _key([_teacher(), _teacher(seed=2)], _READS, examples),
        _key([_teacher()], _READS[:2], examples),
        _key([_teacher()], _READS, tiny_examples(7)),
        _key([_teacher()], _READS, examples.take(np.arange(6)[::-1])),
        *(_key([_teacher()], _READS, changed) for changed in _changed_examples(examples)),
    }
    assert len(keys) == 12
    assert _key([_teacher()], _READS, tiny_examples(6)) in keys  # other objects, same values


def _key(models, reads, examples):
    return output_key(models, reads, examples, batch_size=32)


def _changed_examples(examples):
    yield dataclasses.replace(examples, segment_ids=1 - examples.segment_ids)
    yield dataclasses.replace(examples, max_tokens=20)
    split_elsewhere = examples.offsets + np.array([0, 1, 0, 0, 0, 0, 0])
    yield dataclasses.replace(examples, offsets=split_elsewhere)


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
    store.save(_KEY, _ARRAYS)
    assert (tmp_path / _KEY).is_dir()
