"""Random requests: valid, almost valid and invalid."""

import json
import random

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, get_model_metadata_pb2, predict_pb2

__all__ = ["IDS", "TOKENS", "random_message", "random_post"]

IDS = np.array([[2, 5, 3]], np.int32)
TOKENS = {"input_word_ids": IDS, "input_mask": IDS * 0 + 1, "input_type_ids": IDS * 0}
NAMES = ("words", "words", "words", "reviews", "stars", "gone", "")
SIGNATURES = ("", "tokens", "classify", "pair", "serving_examples", "plus_one", "gone", "\x00")
SHAPES = ([1], [2], [1, 3], [2, 3], [0], [], [1, 1, 1], [-1], [2**40], [3, 2**20])
GOOD = (
    ("", {"text": [b"word1 word2"]}),
    ("pair", {"text": [b"a"], "second_text": [b"b"]}),
    ("tokens", TOKENS),
    ("plus_one", {"x": np.float32(1)}),
)


def random_message(draw: random.Random) -> tuple[str, bytes]:
    make, methods = draw.choice(
        [
            *[(random_predict, ("PredictionService/Predict",))] * 4,
            (random_classification, ("PredictionService/Classify", "PredictionService/Regress")),
            (
                random_question,
                ("PredictionService/GetModelMetadata", "ModelService/GetModelStatus"),
            ),
        ]
    )
    message = make(draw).SerializeToString()
    if draw.random() < 0.3:  # truncated or changed bytes
        message = bytearray(message[: draw.randrange(len(message) + 1)])
        for _ in range(min(len(message), draw.randrange(4))):
            message[draw.randrange(len(message))] = draw.randrange(256)
    return draw.choice(methods), bytes(message)


def random_predict(draw: random.Random) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    signature, inputs = draw.choice(GOOD)
    request.model_spec.name = draw.choice(NAMES)
    request.model_spec.signature_name = signature
    for name, values in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    for _ in range(draw.randrange(3)):
        spoil(draw, request)
    return request


def random_classification(draw: random.Random) -> classification_pb2.ClassificationRequest:
    """Returns a ClassificationRequest; a RegressionRequest has the same fields."""
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = draw.choice(NAMES)
    request.model_spec.signature_name = draw.choice(SIGNATURES)
    for _ in range(draw.randrange(4)):
        feature = request.input.example_list.examples.add().features.feature
        name = draw.choice(["text", "text", "second_text", "x", ""])
        for _ in range(draw.choice([0, 1, 1, 1, 2])):
            feature[name].bytes_list.value.append(draw.randbytes(draw.randrange(20)))
        if draw.random() < 0.2:
            feature[name].float_list.value.append(draw.uniform(-1e38, 1e38))
    return request


def random_question(draw: random.Random) -> get_model_metadata_pb2.GetModelMetadataRequest:
    """Returns a GetModelMetadataRequest; GetModelStatusRequest has the same model field."""
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = draw.choice(NAMES)
    if draw.random() < 0.5:
        request.model_spec.version.value = draw.choice([1, 2, -1, 2**62])
    request.metadata_field.extend(draw.choice([[], ["signature_def"], ["", "gone"]]))
    return request


def spoil(draw: random.Random, request) -> None:
    what = draw.randrange(4)
    if what == 0:
        request.model_spec.signature_name = draw.choice(SIGNATURES)
    elif what == 1:
        request.model_spec.version.value = draw.choice([1, 2, -1, 2**62])
    elif what == 2:
        name = draw.choice([*request.inputs, "x", "examples"])
        request.inputs[name].Clear()
        random_tensor(draw, request.inputs[name])
    elif request.inputs:
        del request.inputs[draw.choice(list(request.inputs))]


def random_tensor(draw: random.Random, proto) -> None:
    proto.dtype = draw.choice([1, 3, 3, 3, 7, 7, 9, 10, 21, 500])
    for size in draw.choice(SHAPES):
        proto.tensor_shape.dim.add(size=size)
    count = draw.randrange(7)
    kind = draw.randrange(4)
    if kind == 0:
        proto.tensor_content = draw.randbytes(4 * count)
    elif kind == 1:
        proto.int_val.extend(draw.choice([0, 1, 5, 39, 40, -1, 2**31 - 1]) for _ in range(count))
    elif kind == 2:
        proto.string_val.extend(draw.randbytes(draw.randrange(20)) for _ in range(count))
    else:
        proto.float_val.extend(draw.uniform(-1e38, 1e38) for _ in range(count))


def random_post(draw: random.Random) -> tuple[str, bytes | None]:
    """Returns a path and a body; None as body means GET."""
    model = f"/v1/models/{draw.choice([name for name in NAMES if name])}"
    if draw.random() < 0.1:
        version = draw.choice(["", "/versions/1", "/versions/-1", "/versions/x", "/labels/stable"])
        return f"{model}{version}{draw.choice(['', '/metadata', ':predict', '/%00'])}", None
    verb = "predict"
    signature, inputs = draw.choice(GOOD)
    columns = {name: np.asarray(values).tolist() for name, values in inputs.items()}
    given = {"signature_name": signature, "inputs": columns}
    if draw.random() < 0.5:
        what = draw.choice(["signature_name", "inputs", "inputs", "instances", "examples", ""])
        given[what] = random_json(draw, 4)
        if what in ("inputs", "instances") and isinstance(columns, dict) and draw.random() < 0.5:
            given[what] = columns | {draw.choice([*columns]): random_json(draw, 2)}
        verb = draw.choice(
            ["classify", "regress"] if what == "examples" else ["predict", "predict", "classify"]
        )
    body = json.dumps(given, default=bytes.decode).encode()
    if draw.random() < 0.2:
        body = body[: draw.randrange(len(body))] + draw.randbytes(draw.randrange(5))
    return f"{model}:{verb}", body


def random_json(draw: random.Random, depth: int):
    kind = draw.randrange(9 if depth else 6)
    if kind >= 7:
        names = ["text", "second_text", "b64", "x", *TOKENS]
        names = [*TOKENS] if draw.random() < 0.3 else draw.sample(names, draw.randrange(3))
        return {name: random_json(draw, depth - 1) for name in names}
    if kind == 6:
        return [random_json(draw, depth - 1) for _ in range(draw.randrange(4))]
    return draw.choice(
        ["", "word1 word2", "\x00", "é😀", None, True, 0, 3, -1, 10**30, 1.5, 1e300]
        + [[], ["a", "b"], [[1, 2]], {"b64": "YQ=="}]
    )
