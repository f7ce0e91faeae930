"""Requests per second and latencies of a running server, at one client and at many.

    python -m serving.load_test --server=localhost:8500 --model=reviews --clients=32

Every client asks for one text, waits for the answer and asks for the next. The texts are those of
--texts (one a line, or the shipped reviews), the same for every number of clients. The clients
share one process and its interpreter: with a small model they, too, take a part of the cores.
"""

import dataclasses
import http.client
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from serving.command import run_command
from tf_efficientbert.errors import UserError
from tf_efficientbert.options import option
from tf_efficientbert.storage import write_json


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadTestOptions:
    """What the load test is told."""

    server: str = option("localhost:8500", "host:port; of REST with --rest")
    model: str = option("default", "name of the model")
    input: str = option("sentences", "name of the input that takes the text")
    signature: str = option("serving_default", "signature to ask")
    texts: str = option("", "file with a text a line; empty for the shipped reviews")
    clients: int = option(32, "clients at a time, compared with one")
    seconds: float = option(10.0, "of each measurement, after a tenth of it to warm up")
    rest: bool = option(False, "REST instead of gRPC")
    json: str = option("", "where to write every figure; empty for nowhere")

    def __post_init__(self) -> None:
        if self.clients < 1 or self.seconds <= 0:
            raise UserError("--clients and --seconds: expected numbers above 0")


Connect = Callable[[], Callable[[bytes], None]]


def load_test(options: LoadTestOptions) -> list[dict]:
    """Measures; returns a row for one client and a row for `clients`."""
    texts = _texts(options.texts)
    requests, connect = (_rest if options.rest else _grpc)(options, texts)
    counts = [1] if options.clients == 1 else [1, options.clients]
    return [_measure(connect, requests, count, options.seconds) for count in counts]


def _texts(path: str) -> list[str]:
    try:
        if path:
            lines = Path(path).read_text("utf-8").splitlines()
        else:
            shipped = Path(__file__).parents[1] / "tf_efficientbert/data/shipped/reviews.tsv"
            rows = shipped.read_text("utf-8").splitlines()[1:]
            lines = [row.split("\t")[0] for row in rows]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--texts={path} cannot be read: {error}") from error
    texts = [line for line in lines if line.strip()]
    if not texts:
        raise UserError(f"--texts={path} has no text")
    return texts


def _grpc(options: LoadTestOptions, texts: list[str]) -> tuple[list[bytes], Connect]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import grpc
    from tensorflow_serving.apis import predict_pb2

    from serving.tensors import from_array

    def request(text: str) -> bytes:
        message = predict_pb2.PredictRequest()
        message.model_spec.name = options.model
        message.model_spec.signature_name = options.signature
        array = np.array([text.encode()], dtype=object)
        message.inputs[options.input].CopyFrom(from_array(array))
        return message.SerializeToString()

    def connect():
        # A connection a client, and bytes as they are: the server is measured, not its client.
        channel = grpc.insecure_channel(options.server, [("grpc.use_local_subchannel_pool", 1)])
        return channel.unary_unary("/tensorflow.serving.PredictionService/Predict", None, None)

    return [request(text) for text in texts], connect


def _rest(options: LoadTestOptions, texts: list[str]) -> tuple[list[bytes], Connect]:
    def connect():
        connection = http.client.HTTPConnection(options.server)

        def ask(body: bytes) -> None:
            connection.request("POST", f"/v1/models/{options.model}:predict", body)
            response = connection.getresponse()
            answer = response.read()
            if response.status != 200:
                raise RuntimeError(f"HTTP {response.status}: {answer[:200]!r}")

        return ask

    bodies = [
        json.dumps({"signature_name": options.signature, "inputs": {options.input: [text]}})
        for text in texts
    ]
    return [body.encode() for body in bodies], connect


def _measure(connect: Connect, requests: list[bytes], clients: int, seconds: float) -> dict:
    start = threading.Barrier(clients + 1)
    latencies, errors, times = [[] for _ in range(clients)], [], {}

    def ask_on(client: int) -> None:
        ask = connect()
        start.wait()
        begin = times.setdefault("begin", time.perf_counter() + seconds / 10)
        end, turn = begin + seconds, client * 7919  # clients start at different texts
        try:
            while (asked := time.perf_counter()) < end:
                ask(requests[turn % len(requests)])
                if asked >= begin:
                    latencies[client].append(time.perf_counter() - asked)
                turn += 1
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=ask_on, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    start.wait()
    for thread in threads:
        thread.join()
    if errors:
        raise UserError(f"a request failed: {str(errors[0])[:300]}")
    seen = 1000 * np.concatenate(latencies)
    p50, p99 = np.percentile(seen, [50, 99])
    return {
        "clients": clients,
        "requests_per_second": len(seen) / seconds,
        "p50_ms": float(p50),
        "p99_ms": float(p99),
    }


def report(options: LoadTestOptions) -> int:
    """Prints a table, and writes it where --json says."""
    rows = load_test(options)
    first = rows[0]["requests_per_second"]
    print("clients  requests/s  p50 ms  p99 ms  p99/p50  against one client")
    for row in rows:
        row["against_one_client"] = row["requests_per_second"] / first
        print(
            f"{row['clients']:7d}  {row['requests_per_second']:10.1f}  {row['p50_ms']:6.2f}  "
            f"{row['p99_ms']:6.2f}  {row['p99_ms'] / row['p50_ms']:7.1f}  "
            f"{row['against_one_client']:.2f}x"
        )
    if options.json:
        write_json(options.json, rows)
    return 0


if __name__ == "__main__":
    run_command(LoadTestOptions, report)
