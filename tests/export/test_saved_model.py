import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tests.models.small_text_models import (
    LABELS,
    TASKS,
    VOCABULARY,
    small_examples,
)
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.export.model_card import model_card
from tf_efficientbert.export.saved_model import ServedModel, export_saved_model, next_version
from tf_efficientbert.models.text_model import TextModel

# Loads the model as TF Serving does, without code of this project.
_FRESH_PROCESS = """
import json, sys
import numpy as np
import tensorflow as tf
import tensorflow_text

for kind, given in json.load(open(sys.argv[1])).items():
    signatures = tf.saved_model.load(given["version"]).signatures
    arrays = {}
    rows = [
        {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()]))
         for name, text in zip(given["texts"], row)} for row in zip(*given["texts"].values())
    ]
    examples = tf.constant([
        tf.train.Example(features=tf.train.Features(feature=row)).SerializeToString()
        for row in rows
    ])
    inputs = {
        "serving_default": {name: tf.constant(part) for name, part in given["texts"].items()},
        "tokens": {name: tf.constant(part, tf.int32) for name, part in given["tokens"].items()},
        "serving_examples": {"examples": examples},
        "classify": {"inputs": examples},
        "regress": {"inputs": examples},
    }
    for signature, answer in signatures.items():
        for name, value in answer(**inputs[signature]).items():
            value = value.numpy()
            arrays[f"{signature}/{name}"] = value.astype("S") if value.dtype == object else value
    np.savez(given["to"], **arrays)
assert not any(name.startswith("tf_efficientbert") for name in sys.modules)
"""

_SERVED = {
    "input_word_ids": "token_ids",
    "input_mask": "padding_mask",
    "input_type_ids": "segment_ids",
}
_ANSWERS = ("serving_default", "tokens", "serving_examples")


def _texts(examples):
    return dict(zip(("text", "second_text"), examples.columns, strict=False))


@pytest.fixture(scope="module")
def served(models, versions, tmp_path_factory):
    """The outputs of each exported model in another process: {signature/output: array}."""
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
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    return {kind: dict(np.load(order["to"])) for kind, order in orders.items()}


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("signature", _ANSWERS)
def test_outputs_in_a_process_without_this_project_equal_keras(models, served, kind, signature):
    model, answers = models[kind], served[kind]
    logits = model.logits(model.encode(small_examples(model.task)))
    assert np.ptp(logits) > 0.1
    np.testing.assert_allclose(answers[f"{signature}/logits"], logits, rtol=0, atol=1e-5)
    assert answers[f"{signature}/logits"].dtype == np.float32


@pytest.mark.parametrize("kind", ["classification", "pair"])
def test_classification_returns_probabilities_and_label(served, kind):
    answers = served[kind]
    logits = answers["serving_default/logits"].astype(float)
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    labels = [LABELS[i].encode() for i in logits.argmax(-1)]
    for signature in _ANSWERS:
        np.testing.assert_allclose(answers[f"{signature}/probabilities"], expected, rtol=1e-5)
        assert answers[f"{signature}/label"].tolist() == labels
    np.testing.assert_allclose(answers["classify/scores"], expected, rtol=1e-5)
    assert answers["classify/classes"].tolist() == [[label.encode() for label in LABELS]] * 9
    assert len(answers) == 3 * len(_ANSWERS) + 2


def test_multilabel_returns_labels_and_their_probabilities(models, served):
    answers, task = served["multilabel"], models["multilabel"].task
    logits = answers["serving_default/logits"].astype(float)
    expected = 1 / (1 + np.exp(-logits))
    answered = expected >= task.thresholds
    labels = [
        [label.encode() if has else b"" for label, has in zip(LABELS, row, strict=True)]
        for row in answered
    ]
    assert 0 < answered.sum() < answered.size
    for signature in _ANSWERS:
        np.testing.assert_allclose(answers[f"{signature}/probabilities"], expected, rtol=1e-5)
        assert answers[f"{signature}/labels"].tolist() == labels
    np.testing.assert_allclose(answers["classify/scores"], expected, rtol=1e-5)
    assert answers["classify/classes"].tolist() == [[label.encode() for label in LABELS]] * 9


def test_regression_returns_only_the_value(served):
    answers = served["regression"]
    assert answers.keys() == {*(f"{name}/logits" for name in _ANSWERS), "regress/outputs"}
    assert answers["regress/outputs"].shape == (9,)
    np.testing.assert_allclose(answers["regress/outputs"], answers["tokens/logits"], atol=1e-5)


@pytest.mark.parametrize("kind", TASKS)
def test_each_signature_has_its_method_name(versions, kind):
    saved = SavedModel.FromString((versions[kind] / "saved_model.pb").read_bytes())
    (graph,) = saved.meta_graphs
    methods = {name: signature.method_name for name, signature in graph.signature_def.items()}
    del methods["__saved_model_init_op"]
    own = "regress" if kind == "regression" else "classify"
    assert methods == {
        **dict.fromkeys(_ANSWERS, "tensorflow/serving/predict"),
        own: f"tensorflow/serving/{own}",
    }
    assert set(graph.meta_info_def.tags) == {"serve"}


@pytest.mark.parametrize("kind", TASKS)
def test_signatures_are_called_as_documented(models, versions, kind):
    signatures = tf.saved_model.load(str(versions[kind])).signatures
    texts = signatures["serving_default"].structured_input_signature[1]
    tokens = signatures["tokens"].structured_input_signature[1]
    assert texts.keys() == _texts(small_examples(models[kind].task)).keys()
    assert {spec.dtype for spec in texts.values()} == {tf.string}
    assert tokens.keys() == _SERVED.keys()
    assert {(spec.dtype, spec.shape.rank) for spec in tokens.values()} == {(tf.int32, 2)}


def test_outputs_of_several_batches_are_in_order(models, versions):
    model = models["pair"]
    examples = small_examples(model.task, count=130)
    encoded, served = model.encode(examples), ServedModel(versions["pair"], model.task.served_texts)
    expected = model.logits(encoded)
    np.testing.assert_allclose(served.logits_of_text(examples), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(served.logits_of_tokens(encoded), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", TASKS)
def test_the_assets_are_vocabulary_labels_and_model_card(models, versions, kind):
    assets = versions[kind] / "assets"
    lines = {path.name: path.read_text("utf-8").splitlines() for path in assets.iterdir()}
    labels = [] if kind == "regression" else list(LABELS)
    card = model_card(models[kind], kind).splitlines()
    assert lines == {
        "vocab.txt": list(VOCABULARY),
        "labels.txt": labels,
        "model_card.md": card,
    }


def test_each_weight_is_written_once(models, versions):
    for kind, model in models.items():
        data = versions[kind] / "variables" / "variables.data-00000-of-00001"
        bytes_of_weights = 4 * model.model.count_params()
        assert bytes_of_weights < data.stat().st_size < 1.5 * bytes_of_weights


def test_warm_up_requests_are_where_a_server_looks(versions):
    path = versions["pair"] / "assets.extra" / "tf_serving_warmup_requests"
    assert len(list(tf.data.TFRecordDataset(str(path)))) == 3 * 4


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_versions_count_up_from_the_highest_there(tmp_path):
    assert next_version(tmp_path / "m") == tmp_path / "m" / "1"
    for name, following in (("1", "2"), ("9", "10"), ("10", "11"), ("tmp", "11"), ("x11", "11")):
        (tmp_path / "m" / name).mkdir(parents=True)
        assert next_version(tmp_path / "m").name == following


class _BrokenTokenizer(Tokenizer):
    """Raises `failure` as the first graph is traced."""

    failure = RuntimeError

    def encode(self, *_, **__):
        raise self.failure


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_an_export_that_fails_in_the_middle_leaves_nothing(tmp_path, models, failure):
    model, tokenizer = models["pair"], _BrokenTokenizer(VOCABULARY)
    tokenizer.failure = failure
    model = TextModel(model.model, tokenizer, model.task, model.max_tokens)
    (tmp_path / "m" / "1").mkdir(parents=True)
    with pytest.raises(failure):
        export_saved_model(model, tmp_path / "m")
    assert _names(tmp_path / "m") == ["1"]


def test_two_exports_into_one_folder_take_numbers_one_after_the_other(tmp_path, models):
    exported = [models["regression"], models["multilabel"]]
    with ThreadPoolExecutor(2) as pool:
        versions = list(pool.map(lambda model: export_saved_model(model, tmp_path / "m"), exported))
    assert {version.name for version in versions} == {"1", "2"}
    for model, version in zip(exported, versions, strict=True):
        labels = (version / "assets" / "labels.txt").read_text("utf-8").splitlines()
        assert labels == list(model.labels)
        assert (version / "saved_model.pb").is_file()
