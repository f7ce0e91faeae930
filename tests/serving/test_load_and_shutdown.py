"""Overload, deadlines, and shutdown under load."""

import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from serving.client_error import RequestError
from serving.grpc_client import GrpcClient
from serving.http_server import HttpServer
from serving.rest_client import RestClient
from serving.rest_service import Answer
from tests.serving.clients import Clients
from tests.serving.served_models import save_words, write_warmup
from tests.serving.server_process import ServerProcess, server_here

ONE_AT_A_TIME = """
max_batch_size { value: 1 }
max_enqueued_batches { value: 1 }
num_batch_threads { value: 1 }
"""
_BODY = json.dumps({"inputs": ["abcdef"]}).encode()
_HEAD = b"POST /v1/models/words:predict HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(_BODY)


def _connected(server) -> socket.socket:
    host, port = server.rest.split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def _wait_until(true) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "words"
    save_words(folder, 1)
    return folder


@pytest.fixture(scope="module")
def narrow(base, tmp_path_factory):
    """A server that runs one row, queues one, and has a short REST deadline."""
    parameters = tmp_path_factory.mktemp("narrow") / "batching_parameters.txt"
    parameters.write_text(ONE_AT_A_TIME)
    with server_here(
        model_name="words",
        model_base_path=str(base),
        batching_parameters_file=str(parameters),
        rest_api_timeout_in_ms=150,
    ) as server:
        yield server


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_a_full_queue_refuses_requests_with_the_reason(narrow, protocol):
    clients = Clients(narrow, 8, "slow", protocols=[protocol])
    clients.wait_for_errors(1)
    clients.stop()
    refused = [error for error in clients.errors if error.code == "RESOURCE_EXHAUSTED"]
    assert sum(clients.answers.values()) > 0
    assert "batching queue is full" in refused[0].message
    if protocol == "rest":
        assert "HTTP 429" in refused[0].message


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_a_deadline_that_passes_while_waiting_is_an_error(narrow, protocol):
    """The slot is almost always busy; the gRPC client's and the REST deadline are 0.15 s."""
    busy = Clients(narrow, 1, "slow", protocols=["grpc"])
    busy.wait_until(lambda answers: answers[1] > 0)
    if protocol == "rest":
        late = RestClient(narrow.rest, "words", retries=0)
    else:
        late = GrpcClient(narrow.grpc, "words", retries=0, deadline_seconds=0.15)
    with pytest.raises(RequestError) as error:
        for _ in range(50):
            late.predict({"text": ["a"]}, "slow")
    busy.stop()
    assert error.value.code == "DEADLINE_EXCEEDED"
    assert GrpcClient(narrow.grpc, "words").predict({"text": ["a"]})["version"] == [1]


def test_calls_above_the_limit_are_refused_without_a_thread(base):
    with server_here(
        model_name="words", model_base_path=str(base), max_concurrent_requests=2
    ) as server:
        clients = Clients(server, 8, "slow", protocols=["grpc"])
        clients.wait_for_errors(6)
        clients.stop()
        assert {error.code for error in clients.errors} == {"RESOURCE_EXHAUSTED"}
        assert sum(clients.answers.values()) > 0


@pytest.mark.parametrize(
    "batching",
    [
        pytest.param("", id="soon"),
        pytest.param(ONE_AT_A_TIME, id="longer than its patience", marks=pytest.mark.slow),
    ],
)
def test_sigterm_under_load_answers_every_accepted_request(base, tmp_path, batching):
    flags = ["--model_name=words", f"--model_base_path={base}"]
    if batching:
        parameters = tmp_path / "batching_parameters.txt"
        waiting = "max_enqueued_batches { value: 1 }"
        parameters.write_text(batching.replace(waiting, waiting.replace("1", "16")))
        flags.append(f"--batching_parameters_file={parameters}")
    server = ServerProcess(tmp_path / "log", *flags)
    clients = Clients(server, 16, "slow")
    clients.wait_until(lambda answers: answers[1] >= 16)
    server.signal()
    assert server.wait() == 0
    clients.join()
    answered = int(re.search(r"stopped: (\d+) requests answered", server.log())[1])
    assert clients.answers[1] == answered
    # Later requests are refused by gRPC's gate, or because nothing listens any more.
    assert len(clients.errors) == 16
    assert {error.code for error in clients.errors} == {"UNAVAILABLE"}
    if not batching:  # with batching, perhaps no client sends another request in time
        assert any("the server is stopping" in error.message for error in clients.errors)


def test_a_signal_delivered_to_another_thread_stops_the_server(base, tmp_path):
    """The kernel may do so while threads are started. Then nothing wakes the main thread."""
    server = ServerProcess(tmp_path / "log", "--model_name=words", f"--model_base_path={base}")
    server.terminate_by_a_thread()
    assert server.wait() == 0


def test_a_stopping_server_answers_a_request_whose_body_is_still_arriving(base):
    with (
        server_here(model_name="words", model_base_path=str(base)) as server,
        _connected(server) as idle,
        _connected(server) as busy,
    ):
        busy.sendall(_HEAD + _BODY[:5])
        time.sleep(0.5)  # the server reads it
        server.stop()
        assert idle.recv(100) == b""  # the server is stopping
        busy.sendall(_BODY[5:])
        answer = busy.recv(4096)
    assert answer.startswith(b"HTTP/1.1 200") and b"Connection: close" in answer


class _Echo:
    """Answers with what it is asked."""

    def post(self, path, body):
        return Answer(200, body)


def test_a_request_that_the_kernel_alone_has_seen_is_answered_by_a_server_that_stops():
    server = HttpServer(_Echo(), "127.0.0.1", 0, max_request_bytes=1000, max_connections=8)
    server.start()
    server.shutdown()  # nobody accepts connections any more
    with (
        ThreadPoolExecutor(1) as pool,
        socket.create_connection(server.server_address, timeout=30) as late,
    ):
        late.sendall(_HEAD)
        drained = pool.submit(server.drain, 30)
        _wait_until(lambda: server.draining)
        time.sleep(0.1)
        assert not drained.done()
        late.sendall(_BODY)
        answer = late.recv(4096)
        assert drained.result()
    assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(_BODY)


def test_a_connection_that_was_answered_does_not_hold_up_a_server_that_stops(base):
    with (
        server_here(model_name="words", model_base_path=str(base), drain_seconds=60) as server,
        _connected(server) as answered,
    ):
        answered.sendall(_HEAD + _BODY)
        assert answered.recv(4096).startswith(b"HTTP/1.1 200")
        server.stop()
        assert answered.recv(100) == b""  # long before the 60 s


def test_a_second_request_in_the_same_packet_is_answered(base):
    get = b"GET /v1/models/words HTTP/1.1\r\n\r\n"
    with (
        server_here(model_name="words", model_base_path=str(base)) as server,
        _connected(server) as connection,
    ):
        connection.sendall(2 * get + get.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answers = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answers.count(b"HTTP/1.1 200") == 3


def test_warm_up_requests_larger_than_the_queue_do_not_keep_a_version_from_loading(tmp_path):
    path = save_words(tmp_path / "words", 1, warmup=0)
    request = predict_pb2.PredictRequest()
    request.inputs["text"].CopyFrom(tf.make_tensor_proto([b"warm"] * 8))
    write_warmup(path, [request])
    parameters = tmp_path / "batching_parameters.txt"
    parameters.write_text(ONE_AT_A_TIME)
    given = {
        "model_base_path": str(tmp_path / "words"),
        "batching_parameters_file": str(parameters),
    }
    with server_here(model_name="words", **given) as server:
        client = GrpcClient(server.grpc, "words")
        answers = client.predict({"text": ["a"] * 9})
        assert answers["version"].tolist() == [1] * 9
        with pytest.raises(RequestError, match="1025 rows, at most 1024"):
            client.predict({"text": ["a"] * 1025})
        client.close()


@pytest.mark.slow
def test_a_drain_that_was_too_short_sets_the_exit_status(base, tmp_path):
    flags = ["--model_name=words", f"--model_base_path={base}", "--drain_seconds=0.1"]
    idle = ServerProcess(tmp_path / "idle", *flags)
    idle.signal()
    assert idle.wait() == 0
    server = ServerProcess(tmp_path / "log", *flags)
    clients = Clients(server, 4, "slow", protocols=["grpc"])
    clients.wait_until(lambda answers: answers[1] >= 4)
    server.signal()
    assert server.wait() == 1
    assert "--drain_seconds=0.1 was too short" in server.log()
    clients.join()


def test_two_servers_do_not_share_a_port(base, narrow):
    from serving.local_server import LocalServer, ServerOptions
    from tf_efficientbert.errors import UserError

    given = {"model_base_path": str(base), "rest_api_port": 0}
    with pytest.raises(UserError, match="--port"):
        LocalServer(ServerOptions(port=narrow.grpc_port, **given))
    with pytest.raises(UserError, match="--rest_api_port"):
        LocalServer(ServerOptions(port=0, **given | {"rest_api_port": narrow.rest_port}))


def test_an_invalid_option_is_named(base, tmp_path):
    from serving.local_server import ServerOptions
    from tf_efficientbert.errors import UserError

    for options, flag in [
        ({}, "--model_config_file"),
        ({"model_base_path": str(tmp_path / "gone")}, "--model_base_path"),
        ({"model_base_path": str(base), "drain_seconds": 0.0}, "--drain_seconds"),
        ({"model_base_path": str(base), "max_request_bytes": 0}, "--max_request_bytes"),
        (
            {"model_base_path": str(base), "tensorflow_intra_op_parallelism": -1},
            "--tensorflow_intra_op_parallelism=-1",
        ),
    ]:
        with pytest.raises(UserError, match=flag):
            ServerOptions(**options)


def test_grpc_can_be_served_without_rest(base):
    with server_here(model_name="words", model_base_path=str(base), rest_api_port=-1) as server:
        with grpc.insecure_channel(server.grpc) as channel:
            grpc.channel_ready_future(channel).result(30)
        assert server.rest_port is None
