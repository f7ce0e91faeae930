"""What a client may send: each is answered with a proper status, and the next request is served."""

import concurrent.futures
import http.client
import json
import os
import random
import socket

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    predict_pb2,
)

from serving.client_error import RequestError
from serving.grpc_client import GrpcClient
from tests.models.small_text_models import LABELS, VOCABULARY

IDS = np.array([[2, 5, 3]], np.int32)
TOKENS = {"input_word_ids": IDS, "input_mask": IDS * 0 + 1, "input_type_ids": IDS * 0}
NO_MESSAGE = "the message is no request of this method"
REFUSED = {"INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND", "RESOURCE_EXHAUSTED"}


@pytest.fixture(autouse=True)
def still_serving(server):
    """After each test a good request is answered."""
    yield
    client = GrpcClient(server.grpc, "words", retries=0)
    assert client.predict({"sentences": ["abc"]})["length"].tolist() == [3.0]
    client.close()


# === Text ===


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"word1 " * 170_000,  # 1 MB
        b"a" * 1_000_000,
        b"\xff\xfe word1 \xc3",
        b"word1\x00word2",
        "😀 word1 👩‍👩‍👧".encode(),
        "这是一个句子 日本語 한국어".encode(),
        "é à ̀".encode(),
    ],
    ids=["empty", "space", "1 MB", "1 MB word", "not UTF-8", "NUL", "emoji", "CJK", "accents"],
)
def test_any_text_gets_an_answer(connect, text):
    outputs = connect("reviews").predict({"sentences": [text, "word1"]})
    assert outputs["label"][0].decode() in LABELS
    assert np.isfinite(outputs["probabilities"]).all()


def test_a_request_above_the_limit_is_refused(connect):
    with pytest.raises(RequestError) as error:
        connect().predict({"sentences": ["a" * 5_000_000]})
    assert error.value.code == "RESOURCE_EXHAUSTED"


# === Tensors ===


@pytest.mark.parametrize("model", ["words", "reviews"])
@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("input_word_ids", [[2, len(VOCABULARY) + 1000, 3]]),
        ("input_word_ids", [[2, 2**31 - 1, 3]]),
        ("input_word_ids", [[2, -1, 3]]),
        ("input_word_ids", [[2, -(2**31), 3]]),
        ("input_type_ids", [[0, -1, 0]]),
        ("input_mask", [[1, -1, 1]]),
    ],
)
def test_ids_out_of_range_are_an_invalid_argument(connect, model, name, ids):
    with pytest.raises(RequestError) as error:
        connect(model).predict(TOKENS | {name: np.array(ids, np.int32)}, "tokens")
    assert error.value.code == "INVALID_ARGUMENT"


WRONG = {
    "floats for ids": TOKENS | {"input_word_ids": IDS.astype(np.float32) + 0.5},
    "text for ids": TOKENS | {"input_word_ids": [["a", "b", "c"]]},
    "booleans for ids": TOKENS | {"input_word_ids": IDS > 2},
    "rank 1": {name: values[0] for name, values in TOKENS.items()},
    "rank 3": {name: values[None] for name, values in TOKENS.items()},
    "a scalar": TOKENS | {"input_mask": np.int32(1)},
    "other rows": TOKENS | {"input_mask": np.ones([2, 3], np.int32)},
    "other tokens": TOKENS | {"input_mask": np.ones([1, 2], np.int32)},
    "no rows": {name: values[:0] for name, values in TOKENS.items()},
    "an input missing": {"input_word_ids": IDS},
    "an input too many": TOKENS | {"more": IDS},
    "no inputs": {},
}


@pytest.mark.parametrize("model", ["words", "reviews"])
@pytest.mark.parametrize("inputs", WRONG.values(), ids=WRONG)
def test_tensors_that_do_not_fit_are_an_invalid_argument(connect, model, inputs):
    with pytest.raises(RequestError) as error:
        connect(model).predict(inputs, "tokens")
    assert error.value.code == "INVALID_ARGUMENT"


def test_more_tokens_than_the_graph_takes_are_an_invalid_argument(connect):
    with pytest.raises(RequestError) as error:
        connect("words").predict({name: np.ones([1, 5000], np.int32) for name in TOKENS}, "tokens")
    assert error.value.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize("texts", [np.array([1.5, 2.5], np.float32), "a", [["a"], ["b"]], []])
def test_text_of_another_type_or_rank_is_an_invalid_argument(connect, texts):
    with pytest.raises(RequestError) as error:
        connect().predict({"sentences": texts})
    assert error.value.code == "INVALID_ARGUMENT"


def test_an_unknown_signature_is_refused(connect):
    with pytest.raises(RequestError) as error:
        connect().predict({"sentences": ["a"]}, "gone")
    assert error.value.code in ("FAILED_PRECONDITION", "INVALID_ARGUMENT")  # gRPC, REST


def test_a_shape_is_not_believed(server):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "words", "tokens"
    for name in TOKENS:
        proto = request.inputs[name]
        proto.dtype = tf.int32.as_datatype_enum
        for size in (2**40, 2**20):
            proto.tensor_shape.dim.add(size=size)
        proto.int_val.append(1)
    with grpc.insecure_channel(server.grpc) as channel:
        status, _ = raw_call(channel, "PredictionService/Predict", request.SerializeToString())
    assert status == "INVALID_ARGUMENT"


def test_bytes_that_are_no_message_are_an_invalid_argument(server):
    with grpc.insecure_channel(server.grpc) as channel:
        for method in ("PredictionService/Predict", "ModelService/GetModelStatus"):
            status, details = raw_call(channel, method, b"\xff\xff\xff")
            assert (status, details) == ("INVALID_ARGUMENT", NO_MESSAGE)


@pytest.mark.slow
def test_bytes_that_are_no_message_leave_no_memory_behind(server):
    with grpc.insecure_channel(server.grpc) as channel:
        for count in (1000, 5000):  # pools and caches fill up first
            before = resident_megabytes(server.pid)
            for _ in range(count):
                raw_call(channel, "PredictionService/Predict", b"\xff\xff\xff")
    assert resident_megabytes(server.pid) - before < 20


def test_a_message_that_names_much_is_cut(server):
    client = GrpcClient(server.grpc, "words" * 20_000)
    with pytest.raises(RequestError) as error:
        client.predict({"sentences": ["a"]})
    client.close()
    assert error.value.code == "NOT_FOUND"


# === HTTP ===


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1, 2]",
        b"null",
        b"\xff\xfe",
        b'{"instances": []}',
        b'{"instances": "a"}',
        b'{"inputs": ["a"], "instances": ["a"]}',
        b'{"signature_name": 5, "inputs": ["a"]}',
        b'{"inputs": [1]}',
        b'{"inputs": ["a", ["b"]]}',
        b'{"inputs": [{"b64": "***"}]}',
        b'{"inputs": [{"b64": 5}]}',
        b'{"inputs": [null]}',
        b'{"inputs": {"sentences": {"deep": []}}}',
        b'{"instances": [{"sentences": "a"}, {}]}',
        b'{"inputs": ["\\ud800"]}',
        b"[" * 100_000,
        b'{"inputs": ' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"signature_name": "plus_one", "inputs": 1e300}',
        b'{"signature_name": "plus_one", "inputs": ' + b"9" * 5000 + b"}",
        b'{"signature_name": "plus_one", "instances": [1]}',
    ],
    ids=lambda body: body[:40].decode("latin-1"),
)
def test_a_body_that_makes_no_sense_is_a_bad_request(server, body):
    status, answer = http_call(server, "POST", "/v1/models/words:predict", body)
    assert (status, list(json.loads(answer))) == (400, ["error"])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/models/gone:predict", 404),
        ("POST", "/v1/models/words/versions/99:predict", 404),
        ("POST", "/v1/models/words/versions/99999999999999999999999:predict", 400),
        ("POST", "/v1/models/words/labels/gone:predict", 400),
        ("POST", "/v1/models/words:guess", 404),
        ("POST", "/", 404),
        ("GET", "/v1/models/words:predict", 404),
        ("GET", "/v1/models/%00%ff", 404),
        ("GET", "/v1/models/gone/metadata", 404),
        ("DELETE", "/v1/models/words", 501),
        ("HEAD", "/healthz", 501),
    ],
)
def test_a_path_that_leads_nowhere_says_so(server, method, path, status):
    assert http_call(server, method, path, b'{"inputs": ["a"]}')[0] == status


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /v1/models/words:predict HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n", b"413"),
        (b"POST /v1/models/words:predict HTTP/1.1\r\nContent-Length: -5\r\n\r\n", b"400"),
        (b"POST /v1/models/words:predict HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST /v1/models/words:predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"431"),
        (b"nonsense\r\n\r\n", b"400"),
    ],
    ids=["too long", "negative", "no number", "chunked", "long path", "many headers", "nonsense"],
)
def test_broken_http_is_answered(server, head, status):
    host, port = server.rest.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head)
        answer = connection.recv(4096)
    assert status in answer.split(b"\r\n")[0]


# === Fuzzing ===


def test_hundreds_of_random_requests_are_each_answered(server):
    fuzz(server, 400, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("clients", [1, 8])
def test_ten_thousand_random_requests_leave_no_memory_behind(server, clients):
    fuzz(server, 2000, seed=2, clients=clients)  # pools and caches fill up first
    before = resident_megabytes(server.pid)
    fuzz(server, 10_000, seed=3, clients=clients)
    assert resident_megabytes(server.pid) - before < 40


def fuzz(server, count: int, seed: int, clients: int = 2) -> None:
    """Half over gRPC, half over REST; no answer may be a fault of the server."""
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        shares = [(server, count // clients, f"{seed} {client}") for client in range(clients)]
        seen = set().union(*pool.map(lambda share: fuzz_alone(*share), shares))
    assert {"OK", "INVALID_ARGUMENT", 200, 400} <= seen


def fuzz_alone(server, count: int, seed: str) -> set:
    """The statuses that one client saw."""
    draw = random.Random(seed)
    seen = set()
    with grpc.insecure_channel(server.grpc) as channel:
        for _ in range(count // 2):
            method, message = random_message(draw)
            status, details = raw_call(channel, method, message)
            assert status in REFUSED | {"OK", "UNIMPLEMENTED"}, (message, details)
            seen.add(status)
    connection = http.client.HTTPConnection(server.rest, timeout=60)
    for _ in range(count // 2):
        path, body = random_post(draw)
        connection.request("POST" if body else "GET", path, body)
        response = connection.getresponse()
        answer = response.read()
        assert response.status in (200, 400, 404, 429, 501), (path, body, answer)
        json.loads(answer)
        seen.add(response.status)
    connection.close()
    return seen


NAMES = ("words", "words", "words", "reviews", "stars", "gone", "")
SIGNATURES = ("", "tokens", "classify", "pair", "serving_examples", "plus_one", "gone", "\x00")
SHAPES = ([1], [2], [1, 3], [2, 3], [0], [], [1, 1, 1], [-1], [2**40], [3, 2**20])
GOOD = (
    ("", {"sentences": [b"word1 word2"]}),
    ("pair", {"sentences": [b"a"], "second_sentences": [b"b"]}),
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
    if draw.random() < 0.3:  # bytes cut off, or changed
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
    """A RegressionRequest has the same fields."""
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = draw.choice(NAMES)
    request.model_spec.signature_name = draw.choice(SIGNATURES)
    for _ in range(draw.randrange(4)):
        feature = request.input.example_list.examples.add().features.feature
        name = draw.choice(["sentences", "sentences", "second_sentences", "x", ""])
        for _ in range(draw.choice([0, 1, 1, 1, 2])):
            feature[name].bytes_list.value.append(draw.randbytes(draw.randrange(20)))
        if draw.random() < 0.2:
            feature[name].float_list.value.append(draw.uniform(-1e38, 1e38))
    return request


def random_question(draw: random.Random) -> get_model_metadata_pb2.GetModelMetadataRequest:
    """A GetModelStatusRequest asks with the same field for the model."""
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
    """A path and a body; without one it is a GET."""
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
        names = ["sentences", "second_sentences", "b64", "x", *TOKENS]
        names = [*TOKENS] if draw.random() < 0.3 else draw.sample(names, draw.randrange(3))
        return {name: random_json(draw, depth - 1) for name in names}
    if kind == 6:
        return [random_json(draw, depth - 1) for _ in range(draw.randrange(4))]
    return draw.choice(
        ["", "word1 word2", "\x00", "é😀", None, True, 0, 3, -1, 10**30, 1.5, 1e300]
        + [[], ["a", "b"], [[1, 2]], {"b64": "YQ=="}]
    )


# === Bare calls ===


def raw_call(channel, method: str, message: bytes) -> tuple[str, str]:
    call = channel.unary_unary(f"/tensorflow.serving.{method}", None, None)
    try:
        call(message, timeout=60)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    return "OK", ""


def http_call(server, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.rest, timeout=60)
    connection.request(method, path, body)
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    return response.status, answer


def resident_megabytes(pid: int) -> float:
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
