"""A small SavedModel in plain TensorFlow with all kinds of signatures."""

from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.data.experimental.ops.testing import sleep
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from tf_efficientbert.storage import replaced_directory

VOCABULARY = 40
MOST_TOKENS = 64
SLOW_SECONDS = 0.3
CLASSES = ("bad", "good")


class _Words(tf.Module):
    """Returns the length of a text, its first byte and the version."""

    def __init__(self, version: int):
        self.version = tf.Variable(version, dtype=tf.int64)
        self.table = tf.Variable(tf.range(VOCABULARY, dtype=tf.float32))

    def text(self, text):
        length = tf.cast(tf.strings.length(text), tf.float32)
        return {
            "length": length,
            "first_bytes": tf.strings.substr(text, 0, 1),
            "label": tf.where(length > 5, CLASSES[1], CLASSES[0]),
            "version": tf.fill(tf.shape(text), self.version),
        }

    def pair(self, text, second_text):
        return {"same": text == second_text}

    def tokens(self, input_word_ids, input_mask, input_type_ids):
        tf.debugging.assert_less_equal(tf.shape(input_word_ids)[1], MOST_TOKENS)
        values = tf.gather(self.table, input_word_ids) * tf.cast(input_mask, tf.float32)
        return {"logits": tf.reduce_sum(values, axis=1) + tf.cast(input_type_ids[:, 0], tf.float32)}

    def text_of_examples(self, examples):
        return self.text(self.sentences_of(examples))

    def sentences_of(self, serialized):
        features = {"text": tf.io.FixedLenFeature([], tf.string)}
        return tf.io.parse_example(serialized, features)["text"]

    def classes(self, inputs):
        score = tf.sigmoid(tf.cast(tf.strings.length(self.sentences_of(inputs)), tf.float32) - 5.0)
        classes = tf.tile(tf.constant([CLASSES]), [tf.shape(inputs)[0], 1])
        return {"classes": classes, "scores": tf.stack([1 - score, score], axis=1)}

    def lengths(self, inputs):
        return {"outputs": tf.cast(tf.strings.length(self.sentences_of(inputs)), tf.float32)}

    def slow(self, text):
        pause = tf.data.Dataset.range(1).apply(sleep(int(SLOW_SECONDS * 1e6)))
        waited = pause.reduce(tf.constant(0, tf.int64), lambda so_far, each: so_far + each)
        return {"version": tf.fill(tf.shape(text), self.version + waited)}

    def plus_one(self, x):
        return {"y": x + 1.0}


def save_words(base_path: Path, version: int, warmup: int = 3) -> Path:
    """Writes `base_path`/`version` atomically, with `warmup` warm-up requests."""
    words = _Words(version)
    text = tf.TensorSpec([None], tf.string)
    ids = tf.TensorSpec([None, None], tf.int32)
    arguments = {
        "serving_default": (words.text, {"text": text}),
        "pair": (words.pair, {"text": text, "second_text": text}),
        "tokens": (
            words.tokens,
            {"input_word_ids": ids, "input_mask": ids, "input_type_ids": ids},
        ),
        "serving_examples": (words.text_of_examples, {"examples": text}),
        "classify": (words.classes, {"inputs": text}),
        "regress": (words.lengths, {"inputs": text}),
        "slow": (words.slow, {"text": text}),
        "plus_one": (words.plus_one, {"x": tf.TensorSpec([], tf.float32)}),
    }
    signatures = {
        name: tf.function(function).get_concrete_function(
            **{key: tf.TensorSpec(spec.shape, spec.dtype, name=key) for key, spec in specs.items()}
        )
        for name, (function, specs) in arguments.items()
    }
    path = Path(base_path) / str(version)
    with replaced_directory(path) as new:
        tf.saved_model.save(words, str(new), signatures)
        for form in ("classify", "regress"):
            _name_method(new / "saved_model.pb", form, f"tensorflow/serving/{form}")
        if warmup:
            write_warmup(new, [_text_request(b"warm") for _ in range(warmup)])
    return path


def write_warmup(version: Path, requests: list) -> None:
    """Writes warm-up requests to the path that TF Serving reads."""
    (version / "assets.extra").mkdir(exist_ok=True)
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())


def _text_request(text: bytes) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.inputs["text"].CopyFrom(tf.make_tensor_proto([text]))
    return request


def _name_method(path: Path, signature: str, method: str) -> None:
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for graph in saved.meta_graphs:
        graph.signature_def[signature].method_name = method
    path.write_bytes(saved.SerializeToString())
