import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.small_text_models import (
    LABELS,
    TASKS,
    VOCABULARY,
    small_examples,
    small_text_model,
)
from tf_efficientbert.data.task import Examples
from tf_efficientbert.export.saved_model import ServedModel, export_saved_model

# What TF Serving does, without a line of this project.
_FRESH_PROCESS = """
import json, sys
import numpy as np
import tensorflow as tf
import tensorflow_text

for kind, given in json.load(open(sys.argv[1])).items():
    signatures = tf.saved_model.load(given["version"]).signatures
    texts = {name: tf.constant(part) for name, part in given["texts"].items()}
    answers = signatures["serving_default"](**texts)
    arrays = {name: value.numpy() for name, value in answers.items()}
    arrays = {name: a.astype("S" if a.dtype == object else a.dtype) for name, a in arrays.items()}
    tokens = {name: tf.constant(part, tf.int32) for name, part in given["tokens"].items()}
    arrays["of_tokens"] = signatures["tokens"](**tokens)["logits"].numpy()
    np.savez(given["to"], **arrays)
assert not any(name.startswith("tf_efficientbert") for name in sys.modules)
"""

_SERVED = {
    "input_word_ids": "token_ids",
    "input_mask": "padding_mask",
    "input_type_ids": "segment_ids",
}


def _texts(examples):
    parts = {"sentences": examples.sentences, "second_sentences": examples.second_sentences}
    return {name: part for name, part in parts.items() if part is not None}


@pytest.fixture(scope="module")
def served(models, versions, tmp_path_factory):
    """What each exported model answers in a process of its own, to texts and to tokens."""
    folder, orders = tmp_path_factory.mktemp("served"), {}
    for kind, model in models.items():
        examples = small_examples(model.task)
        batch = model.encode(examples).padded(np.arange(len(examples)))
        orders[kind] = {
            "version": str(versions[kind]),
            "texts": _texts(examples),
            "tokens": {name: batch[ours].tolist() for name, ours in _SERVED.items()},
            "to": str(folder / f"{kind}.npz"),
        }
    (folder / "orders.json").write_text(json.dumps(orders), "utf-8")
    command = [sys.executable, "-c", _FRESH_PROCESS, str(folder / "orders.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return {kind: dict(np.load(order["to"])) for kind, order in orders.items()}


@pytest.mark.parametrize("kind", TASKS)
def test_text_and_tokens_are_answered_as_by_keras_in_a_process_without_this_project(
    models, served, kind
):
    model, answers = models[kind], served[kind]
    logits = model.logits(model.encode(small_examples(model.task)))
    assert np.ptp(logits) > 0.1
    np.testing.assert_allclose(answers["logits"], logits, rtol=0, atol=1e-5)
    np.testing.assert_allclose(answers["of_tokens"], logits, rtol=0, atol=1e-5)
    assert answers["logits"].dtype == np.float32


@pytest.mark.parametrize("kind", ["classification", "pair"])
def test_classes_come_with_probabilities_and_label(served, kind):
    answers = served[kind]
    logits = answers["logits"].astype(float)
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(answers["probabilities"], expected, rtol=1e-5)
    assert [label.decode() for label in answers["label"]] == [LABELS[i] for i in logits.argmax(-1)]


def test_of_a_regression_the_logits_are_all(served):
    assert served["regression"].keys() == {"logits", "of_tokens"}
    assert served["regression"]["logits"].shape == (9,)


@pytest.mark.parametrize("kind", TASKS)
def test_signatures_are_called_as_documented(models, versions, kind):
    signatures = tf.saved_model.load(str(versions[kind])).signatures
    texts = signatures["serving_default"].structured_input_signature[1]
    tokens = signatures["tokens"].structured_input_signature[1]
    assert texts.keys() == _texts(small_examples(models[kind].task)).keys()
    assert {spec.dtype for spec in texts.values()} == {tf.string}
    assert tokens.keys() == _SERVED.keys()
    assert {(spec.dtype, spec.shape.rank) for spec in tokens.values()} == {(tf.int32, 2)}


def test_a_batch_that_is_larger_than_one_of_ours_is_answered_in_order(models, versions):
    model = models["pair"]
    examples = small_examples(model.task, count=130)
    encoded, served = model.encode(examples), ServedModel(versions["pair"])
    expected = model.logits(encoded)
    np.testing.assert_allclose(served.logits_of_text(examples), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(served.logits_of_tokens(encoded), expected, rtol=0, atol=1e-5)


def test_odd_text_is_answered_as_by_keras(models, versions):
    model = models["classification"]
    texts = ("", "\U0001f600 東京 \x01", "word1 " * 5000, "word2 word3")
    examples = Examples(texts, None, None)
    served = ServedModel(versions["classification"]).logits_of_text(examples)
    np.testing.assert_allclose(served, model.logits(model.encode(examples)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", TASKS)
def test_the_assets_are_the_vocabulary_and_the_labels(versions, kind):
    assets = versions[kind] / "assets"
    lines = {path.name: path.read_text("utf-8").splitlines() for path in assets.iterdir()}
    labels = [] if kind == "regression" else list(LABELS)
    assert lines == {"vocab.txt": list(VOCABULARY), "labels.txt": labels}


@pytest.fixture
def quick_export(monkeypatch):
    """Replaces what TensorFlow writes by an empty file, or by a failure."""

    def quick_export(fail=None):
        def write_out(self, folder, verbose):
            with open(f"{folder}/saved_model.pb", "w"):
                if fail:
                    raise fail

        archive = type(keras.export.ExportArchive())
        monkeypatch.setattr(archive, "write_out", write_out)
        monkeypatch.setattr(archive, "add_endpoint", lambda *_, **__: None)

    return quick_export


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_versions_count_up_from_the_highest_there(tmp_path, quick_export):
    quick_export()
    model = small_text_model()
    assert export_saved_model(model, tmp_path / "m") == tmp_path / "m" / "1"
    assert export_saved_model(model, tmp_path / "m").name == "2"
    for name in ("9", "10", "tmp", "x11"):
        (tmp_path / "m" / name).mkdir()
    assert export_saved_model(model, tmp_path / "m").name == "11"
    assert _names(tmp_path / "m") == ["1", "10", "11", "2", "9", "tmp", "x11"]


@pytest.mark.parametrize("failure", [RuntimeError("broken"), KeyboardInterrupt()], ids=repr)
def test_an_export_that_fails_in_the_middle_leaves_nothing(tmp_path, quick_export, failure):
    quick_export()
    export_saved_model(small_text_model(), tmp_path)
    quick_export(fail=failure)
    with pytest.raises(type(failure)):
        export_saved_model(small_text_model(), tmp_path)
    assert _names(tmp_path) == ["1"]
