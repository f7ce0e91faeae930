"""Warm-up requests, which TF Serving runs before it serves a version."""

import itertools
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_efficientbert.data.examples import Examples
from tf_efficientbert.export.buckets import buckets_for
from tf_efficientbert.export.signature import (
    CLASSIFY,
    PREDICT,
    REGRESS,
    SERVED_TOKENS,
    Signature,
)
from tf_efficientbert.export.tf_example import as_example
from tf_efficientbert.models.text_model import TextModel

_log = logging.getLogger(__name__)

FILE = "assets.extra/tf_serving_warmup_requests"
# Texts per request, for each signature and bucket: at most 48 requests. TF Serving refuses more
# than 1,000.
_BATCHES = (1, 1, 8)


def write_warm_up_requests(
    model: TextModel,
    signatures: Mapping[str, Signature],
    examples: Examples,
    version: Path,
    model_name: str,
) -> int:
    """Writes `version`/assets.extra/tf_serving_warmup_requests; returns the number of requests.

    A TFRecord of PredictionLog with three requests, of 1, 1 and 8 texts, for each signature and
    bucket. A text joins as many of `examples`' texts as fill the bucket; the last one is cut.

    Without the `serving` extra, nothing is written and a warning is logged.

    Args:
        examples: at least one; for a question answering model, the questions as texts and the
            contexts as second texts.
        model_name: the model's name in the requests; TF Serving ignores it.
    """
    try:
        from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
    except ImportError:
        _log.warning(
            "no warm-up requests in %s: tensorflow-serving-api is not installed "
            "(pip install 'tf-efficientbert[serving]'); the model can be served, but the first "
            "requests of each length are slow",
            version,
        )
        return 0
    logs = [
        _request(PredictionLog, model, name, signature.method, texts, model_name)
        for texts in _batches(model, examples)
        for name, signature in signatures.items()
    ]
    path = version / FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as file:
        for log in logs:
            file.write(log.SerializeToString())
    return len(logs)


def _request(log_class, model: TextModel, name: str, method: str, texts: Examples, model_name: str):
    """Returns a PredictionLog with a request for the signature `name` with all `texts`."""
    log = log_class()
    request = {
        PREDICT: log.predict_log,
        CLASSIFY: log.classify_log,
        REGRESS: log.regress_log,
    }[method].request
    request.model_spec.name = model_name
    request.model_spec.signature_name = name
    columns = dict(zip(model.task.served_texts, texts.columns, strict=True))
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if method != PREDICT:
        request.input.example_list.examples.extend(as_example(row) for row in rows)
        return log
    if name == "tokens":
        batch = model.encode(texts).padded(np.arange(len(texts)))
        inputs = {served: batch[ours] for ours, served in SERVED_TOKENS.items()}
    elif name == "serving_examples":
        inputs = {"examples": [as_example(row).SerializeToString() for row in rows]}
    else:
        inputs = columns
    for key, values in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(values))
    return log


def _batches(model: TextModel, examples: Examples) -> Iterator[Examples]:
    start = 0
    for bucket in buckets_for(model.max_tokens):
        for count in _BATCHES:
            yield _texts_of_length(model, examples, bucket, start, count)
            start += count


def _texts_of_length(
    model: TextModel, examples: Examples, tokens: int, start: int, count: int
) -> Examples:
    """Returns `count` texts or pairs of exactly `tokens` tokens, from the example `start` on."""
    parts = examples.columns
    room = tokens - 1 - len(parts)  # [CLS] and a [SEP] after each part
    first = min(room // 2, 32)  # short enough for a question
    shares = [first, room - first] if len(parts) == 2 else [room]
    texts = [
        tuple(model.tokenizer.cut(_endless(part, start + i, share), share) for i in range(count))
        for part, share in zip(parts, shares, strict=True)
    ]
    return Examples(texts[0], texts[1] if len(texts) == 2 else None, None)


def _endless(texts: tuple[str, ...], start: int, count: int) -> str:
    """Joins `count` texts from number `start` on, starting over after the last."""
    first = start % len(texts)
    return " ".join(itertools.islice(itertools.cycle(texts), first, first + count))
