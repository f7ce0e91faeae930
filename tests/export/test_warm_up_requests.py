import builtins
import logging
from collections import Counter

import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from tests.export.long_models import BUCKETS, long_model
from tests.models.small_text_models import TASKS, small_examples
from tf_efficientbert.export.signatures import signatures
from tf_efficientbert.export.warm_up_requests import FILE, write_warm_up_requests

_TEXTS = ("text", "second_text")
_REQUESTS = {
    "serving_default": "predict_log",
    "tokens": "predict_log",
    "serving_examples": "predict_log",
    "classify": "classify_log",
    "regress": "regress_log",
}


def _read(version):
    records = tf.data.TFRecordDataset(str(version / FILE)).as_numpy_iterator()
    return [PredictionLog.FromString(record) for record in records]


def _parts(log):
    """Returns (signature, columns of texts or None for tokens, lengths of the mask or None)."""
    kind = log.WhichOneof("log_type")
    request = getattr(log, kind).request
    name = request.model_spec.signature_name
    assert request.model_spec.name == "mine" and _REQUESTS[name] == kind
    if name == "tokens":
        return name, None, tf.make_ndarray(request.inputs["input_mask"]).sum(axis=1)
    if kind == "predict_log" and name == "serving_default":
        columns = {k: tf.make_ndarray(v).tolist() for k, v in request.inputs.items()}
        return name, columns, None
    if kind == "predict_log":
        serialized = tf.make_ndarray(request.inputs["examples"]).tolist()
        examples = [tf.train.Example.FromString(example) for example in serialized]
    else:
        examples = request.input.example_list.examples
    rows = [{k: f.bytes_list.value[0] for k, f in e.features.feature.items()} for e in examples]
    return name, {key: [row[key] for row in rows] for key in rows[0]}, None


@pytest.fixture(scope="module", params=TASKS)
def warmed(request, tmp_path_factory):
    """(model, its sentences, the written requests)."""
    model, version = long_model(request.param), tmp_path_factory.mktemp(request.param)
    examples = small_examples(model.task)
    count = write_warm_up_requests(model, signatures(model), examples, version, "mine")
    logs = _read(version)
    assert count == len(logs) <= 1000
    return model, examples, [_parts(log) for log in logs]


def test_requests_cover_every_signature_and_bucket(warmed):
    model, _, requests = warmed
    covered = Counter()
    for name, columns, lengths in requests:
        if columns is not None:
            texts = (columns["text"], columns.get("second_text"))
            lengths = model.tokenizer.encode(*texts, max_tokens=10_000)[0].row_lengths().numpy()
        (length,) = set(lengths)
        covered[name, length] += 1
    assert covered == {(name, width): 3 for name in signatures(model) for width in BUCKETS}


def test_requests_are_made_of_the_sentences(warmed):
    _, examples, requests = warmed
    for _, columns, lengths in requests:
        if lengths is None:
            # By name, because a request's inputs have no order.
            for name, sentences in zip(_TEXTS, examples.columns, strict=False):
                endless = " ".join(sentences * 60)
                assert all(text.decode() in endless for text in columns[name])


def test_requests_are_of_one_text_and_of_several(warmed):
    *_, requests = warmed
    sizes = Counter(len(next(iter(columns.values()))) for _, columns, _ in requests if columns)
    assert sizes[1] == 2 * sizes[8] > 0 and set(sizes) == {1, 8}


def test_without_the_extra_a_warning_names_it(models, tmp_path, monkeypatch, caplog):
    found = builtins.__import__

    def missing(name, *arguments, **named):
        if name.startswith("tensorflow_serving"):
            raise ImportError(name)
        return found(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    model = models["pair"]
    with caplog.at_level(logging.WARNING):
        given = (model, signatures(model), small_examples(model.task), tmp_path, "mine")
        assert write_warm_up_requests(*given) == 0
    assert r"pip install 'tf-efficientbert[serving]'" in caplog.text
    assert list(tmp_path.iterdir()) == []
