"""The clients: retries, deadlines, connections, command line."""

import http.server
import json
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from serving.client_error import RequestError
from serving.client_values import as_array
from serving.grpc_client import GrpcClient
from serving.rest_client import RestClient
from serving.retry import with_retries
from tests.serving.served_models import save_words
from tests.serving.server_process import server_here
from tf_efficientbert.errors import UserError


def failing(codes: list[str]):
    """Returns a call that fails with each code in turn, then succeeds; and its deadlines."""
    told = []

    def call(seconds):
        told.append(seconds)
        if len(told) <= len(codes):
            raise RequestError(codes[len(told) - 1], "no")
        return "answer"

    return call, told


def test_unavailable_is_retried_until_it_succeeds():
    call, told = failing(["UNAVAILABLE"] * 3)
    assert with_retries(call, deadline_seconds=30, retries=3) == "answer"
    assert len(told) == 4
    assert told == sorted(told, reverse=True) and told[-1] < 30


@pytest.mark.parametrize(
    "code", ["RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "INVALID_ARGUMENT", "INTERNAL", "NOT_FOUND"]
)
def test_other_errors_are_not_retried(code):
    call, told = failing([code])
    with pytest.raises(RequestError, match=code):
        with_retries(call, deadline_seconds=30, retries=3)
    assert len(told) == 1


def test_retries_end_at_their_limit_and_at_the_deadline():
    call, told = failing(["UNAVAILABLE"] * 100)
    with pytest.raises(RequestError):
        with_retries(call, deadline_seconds=30, retries=2)
    assert len(told) == 3
    call, told = failing(["UNAVAILABLE"] * 1000)
    start = time.monotonic()
    with pytest.raises(RequestError):
        with_retries(call, deadline_seconds=0.3, retries=1000)
    assert time.monotonic() - start <= 0.3 + 1
    assert len(told) < 1000


def test_values_become_arrays_without_loss():
    assert as_array([b"a\x00", "é"]).tolist() == [b"a\x00", "é".encode()]
    assert as_array("a").shape == ()
    assert as_array([[1, 2]]).dtype.kind == "i"
    assert as_array(np.array([1.5], np.float32)).dtype == np.float32


# === REST with a faulty server ===


class _Scripted(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):  # noqa: N802
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status is None:  # breaks the connection
            self.close_connection = True
            return
        body = json.dumps({"outputs": {"y": [1]}, "error": "scripted"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def scripted():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Scripted)
    server.statuses, server.asked = [], 0
    server.address = f"localhost:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_rest_retries_503_and_broken_connections(scripted):
    scripted.statuses = [503, None, 503]
    client = RestClient(scripted.address, "m")
    assert client.predict({"x": [1]})["y"].tolist() == [1]
    assert scripted.asked == 4


@pytest.mark.parametrize(
    ("status", "code"),
    [(429, "RESOURCE_EXHAUSTED"), (400, "INVALID_ARGUMENT"), (500, "INTERNAL"), (504, "DEADLINE")],
)
def test_rest_does_not_retry_other_statuses(scripted, status, code):
    scripted.statuses = [status]
    with pytest.raises(RequestError, match=f"{code}.*scripted"):
        RestClient(scripted.address, "m").predict({"x": [1]})
    assert scripted.asked == 1


def test_a_missing_server_is_unavailable_within_the_deadline():
    for client in (
        GrpcClient("127.0.0.1:1", "m", deadline_seconds=0.5),
        RestClient("127.0.0.1:1", "m", deadline_seconds=0.5),
    ):
        with pytest.raises(RequestError) as error:
            client.predict({"x": [1]})
        assert error.value.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")


# === TLS ===


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(key, certificate) of localhost, self-signed."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        [*command, "-keyout", str(key), "-out", str(cert), *names], check=True, capture_output=True
    )
    return key, cert


def test_grpc_over_tls_needs_the_certificate(certificate, tmp_path):
    key, cert = certificate
    save_words(tmp_path / "words", 1, warmup=0)
    config = tmp_path / "ssl.config"
    config.write_text(f"server_key: {key.read_text()!r}\nserver_cert: {cert.read_text()!r}\n")
    with server_here(
        model_name="words", model_base_path=str(tmp_path / "words"), ssl_config_file=str(config)
    ) as server:
        address = f"localhost:{server.grpc_port}"
        trusting = GrpcClient(address, "words", ca_file=str(cert))
        assert trusting.predict({"text": ["abc"]})["length"].tolist() == [3.0]
        for stranger in (
            GrpcClient(address, "words", tls=True, retries=0),
            GrpcClient(address, "words", retries=0),
        ):
            with pytest.raises(RequestError, match="UNAVAILABLE"):
                stranger.predict({"text": ["abc"]})


def test_rest_over_tls_needs_the_certificate(certificate, scripted):
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    scripted.socket = context.wrap_socket(scripted.socket, server_side=True)
    scripted.handle_error = lambda *_: None
    trusting = RestClient(scripted.address, "m", ca_file=str(cert))
    assert trusting.predict({"x": [1]})["y"].tolist() == [1]
    with pytest.raises(RequestError, match="UNAUTHENTICATED"):
        RestClient(scripted.address, "m", tls=True).predict({"x": [1]})
    assert scripted.asked == 1


# === The command line ===


def client_command(*flags: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "serving.client", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_the_command_prints_the_response(server):
    done = client_command("--rest", f"--server={server.rest}", "--model=words", "--text=abcdef")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["label"] == ["good"]


def test_the_command_classifies_over_grpc(server):
    done = client_command(
        f"--server={server.grpc}", "--model=words", "--text=abcdefgh", "--classify"
    )
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = json.loads(done.stdout)
    assert [label for label, _ in row] == ["bad", "good"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "--text is missing"),
        (["--text=a", "--deadline_seconds=0"], "--deadline_seconds"),
        (["--text=a", "--ca_file=/gone"], "--ca_file=/gone"),
        (["--text=a", "--model=gone"], "NOT_FOUND"),
        (["--text=a", f"--ca_file={__file__}"], "test_client.py has no certificates"),
        (["--text=a", "--server=localhost:abc"], "localhost:abc is not a host:port"),
        (["--question=a", "--text=b", "--second_text=c"], "exclude each other"),
        (["--reload_config=models.config"], "remove --rest"),
    ],
)
def test_the_command_reports_errors_in_one_line(server, flags, told):
    done = client_command("--rest", f"--server={server.rest}", *flags)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and told in done.stderr
    assert done.stderr.count("\n") == 1


def test_rest_at_the_grpc_port_is_reported_without_retries(server):
    with pytest.raises(RequestError, match="is it the gRPC port") as error:
        RestClient(server.grpc, "words").predict({"text": ["a"]})
    assert error.value.code == "INVALID_ARGUMENT"


def test_the_command_moves_a_label(tmp_path):
    for version in (1, 2):
        save_words(tmp_path / "words", version)
    config = tmp_path / "models.config"
    shipped = (Path(__file__).parents[2] / "serving/config/models.config").read_text("utf-8")
    text = shipped.replace('"reviews"', '"words"').replace("/models/reviews", f"{tmp_path}/words")
    config.write_text(text)
    with server_here(model_config_file=str(config)) as server:
        labelled = GrpcClient(server.grpc, "words", label="stable")
        assert labelled.predict({"text": ["a"]})["version"] == [1]
        config.write_text(text.replace("value: 1", "value: 2"))
        done = client_command(f"--server={server.grpc}", f"--reload_config={config}")
        assert (done.returncode, done.stderr) == (0, "")
        assert labelled.predict({"text": ["a"]})["version"] == [2]
        labelled.close()


def test_the_load_test_measures_one_client_and_many(server):
    from serving.load_test import LoadTestOptions, load_test

    for rest in (False, True):
        given = {"server": server.rest if rest else server.grpc, "model": "words", "rest": rest}
        one, many = load_test(LoadTestOptions(**given, clients=4, seconds=0.3))
        assert (one["clients"], many["clients"]) == (1, 4)
        for row in (one, many):
            assert row["requests_per_second"] > 0 and 0 < row["p50_ms"] <= row["p99_ms"]


@pytest.mark.parametrize("rest", [False, True])
def test_a_failed_load_test_gives_the_reason(server, rest):
    from serving.load_test import LoadTestOptions, load_test

    where = server.rest if rest else server.grpc
    with pytest.raises(UserError, match="nobody"):
        next(load_test(LoadTestOptions(server=where, model="nobody", seconds=0.2, rest=rest)))
    with pytest.raises(UserError, match="failed|Connect"):
        next(load_test(LoadTestOptions(server="127.0.0.1:9", seconds=0.2, rest=rest)))
