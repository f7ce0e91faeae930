"""Invalid requests get a proper status, and the next request succeeds."""

import json
import socket

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from serving.client_error import RequestError
from serving.grpc_client import GrpcClient
from tests.models.small_text_models import LABELS, VOCABULARY
from tests.serving.bare_calls import http_call, raw_call, resident_megabytes
from tests.serving.random_requests import IDS, TOKENS

NO_MESSAGE = "the message is not a valid request of this method"

pytestmark = pytest.mark.usefixtures("still_serving")


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
def test_any_text_gets_a_prediction(connect, text):
    outputs = connect("reviews").predict({"text": [text, "word1"]})
    assert outputs["label"][0].decode() in LABELS
    assert np.isfinite(outputs["probabilities"]).all()


def test_a_request_above_the_limit_is_refused(connect):
    with pytest.raises(RequestError) as error:
        connect().predict({"text": ["a" * 5_000_000]})
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
def test_tensors_that_do_not_match_the_signature_are_an_invalid_argument(connect, model, inputs):
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
        connect().predict({"text": texts})
    assert error.value.code == "INVALID_ARGUMENT"


def test_an_unknown_signature_is_refused(connect):
    with pytest.raises(RequestError) as error:
        connect().predict({"text": ["a"]}, "gone")
    assert error.value.code in ("FAILED_PRECONDITION", "INVALID_ARGUMENT")  # gRPC, REST


def test_memory_is_not_allocated_for_a_claimed_shape(server):
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


def test_invalid_messages_are_an_invalid_argument(server):
    with grpc.insecure_channel(server.grpc) as channel:
        for method in ("PredictionService/Predict", "ModelService/GetModelStatus"):
            status, details = raw_call(channel, method, b"\xff\xff\xff")
            assert (status, details) == ("INVALID_ARGUMENT", NO_MESSAGE)


@pytest.mark.slow
def test_invalid_messages_leak_no_memory(server):
    with grpc.insecure_channel(server.grpc) as channel:
        for count in (1000, 5000):  # pools and caches fill up first
            before = resident_megabytes(server.pid)
            for _ in range(count):
                raw_call(channel, "PredictionService/Predict", b"\xff\xff\xff")
    assert resident_megabytes(server.pid) - before < 20


@pytest.mark.parametrize("letters", ["words", "语", "😀"])
def test_a_long_error_message_is_cut(server, letters):
    client = GrpcClient(server.grpc, letters * 20_000)
    for _ in range(20):  # slightly too long headers sometimes get through
        with pytest.raises(RequestError) as error:
            client.predict({"text": ["a"]})
        assert error.value.code == "NOT_FOUND"
    client.close()


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
        b'{"inputs": {"text": {"deep": []}}}',
        b'{"instances": [{"text": "a"}, {}]}',
        b'{"inputs": ["\\ud800"]}',
        b"[" * 100_000,
        b'{"inputs": ' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"signature_name": "plus_one", "inputs": 1e300}',
        b'{"signature_name": "plus_one", "inputs": ' + b"9" * 5000 + b"}",
        b'{"signature_name": "plus_one", "instances": [1]}',
    ],
    ids=lambda body: body[:40].decode("latin-1"),
)
def test_an_invalid_body_is_a_bad_request(server, body):
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
def test_an_unknown_path_is_an_error(server, method, path, status):
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
def test_broken_http_gets_an_error_status(server, head, status):
    host, port = server.rest.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head)
        answer = connection.recv(4096)
    assert status in answer.split(b"\r\n")[0]
