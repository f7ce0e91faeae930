"""Measures requests per second and latencies of a server, with one client and with many.

Example:
    tf-efficientbert load_test --server=localhost:8500 --model=reviews --clients=32

Every client sends one text, waits for the response and sends the next. The texts are those of
--texts (one per line, default: film-review snippets), the same for every number of clients. All
clients share one thread, to take little CPU time from a server on the same machine.
"""

import asyncio
import contextlib
import dataclasses
import json
import re
import time
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import numpy as np

from serving.address import server_address
from tf_efficientbert.command import run_command
from tf_efficientbert.data import snippets
from tf_efficientbert.data.text_file import read_lines
from tf_efficientbert.errors import UserError
from tf_efficientbert.options import option
from tf_efficientbert.quiet_tensorflow import import_tensorflow
from tf_efficientbert.storage import write_json

_PATIENCE = 30  # seconds
_LENGTH = re.compile(r"(?i)\r\ncontent-length: *(\d+)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadTestOptions:
    """Options of the load test."""

    server: str = option("", "host:port; empty for localhost:8500, or localhost:8501 with --rest")
    model: str = option("default", "name of the model")
    input: str = option("text", "name of the signature's text input")
    signature: str = option("serving_default", "signature to call")
    texts: str = option("", "file with a text a line; empty for film-review snippets")
    clients: int = option(32, "number of concurrent clients; compared with one client")
    seconds: float = option(10.0, "seconds per measurement, after a tenth of that to warm up")
    rest: bool = option(False, "REST instead of gRPC")
    json: str = option("", "write all figures to this JSON file")

    @property
    def address(self) -> str:
        """host:port of the server."""
        return server_address(self.server, self.rest)

    def __post_init__(self) -> None:
        if self.clients < 1 or self.seconds <= 0:
            raise UserError("--clients and --seconds: expected numbers above 0")

    def read_texts(self) -> list[str]:
        """Returns the texts to send, at least one."""
        if self.texts:
            lines = [line for _, line in read_lines(self.texts)]
        else:
            lines, _ = snippets.load("test")
        texts = [line for line in lines if line.strip()]
        if not texts:
            raise UserError(f"--texts={self.texts}: the file has no text")
        return texts


# Sends requests over one connection, one after the other; raises UserError if one fails.
Ask = Callable[[bytes], Awaitable[None]]
Connect = Callable[[], AbstractAsyncContextManager[Ask]]


def load_test(options: LoadTestOptions) -> Iterator[dict]:
    """Yields the figures for one client, then for `clients`.

    Raises (while iterating):
        UserError: the texts cannot be read, or a request fails or gets no response.
    """
    texts = options.read_texts()
    requests, connect = (_rest if options.rest else _grpc)(options, texts)
    counts = [1] if options.clients == 1 else [1, options.clients]
    for count in counts:
        yield asyncio.run(_measure(connect, requests, count, options.seconds))


def _grpc(options: LoadTestOptions, texts: list[str]) -> tuple[list[bytes], Connect]:
    import_tensorflow()  # quietly; the protocol's messages would import it with its log
    import grpc
    from tensorflow_serving.apis import predict_pb2

    from serving.tensors import fill

    def request(text: str) -> bytes:
        message = predict_pb2.PredictRequest()
        message.model_spec.name = options.model
        message.model_spec.signature_name = options.signature
        array = np.array([text.encode()], dtype=object)
        fill(message.inputs[options.input], array)
        return message.SerializeToString()

    @contextlib.asynccontextmanager
    async def connect() -> AsyncIterator[Ask]:
        # One connection per client and serialized requests, to measure the server, not the client.
        own = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(options.address, own) as channel:
            predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")

            async def ask(request: bytes) -> None:
                try:
                    await predict(request)
                except grpc.RpcError as error:
                    reason = f"{error.code().name}: {error.details()}"
                    raise UserError(f"a request failed: {reason}") from error

            yield ask

    return [request(text) for text in texts], connect


def _rest(options: LoadTestOptions, texts: list[str]) -> tuple[list[bytes], Connect]:
    host, _, port = options.address.rpartition(":")
    path = f"/v1/models/{urllib.parse.quote(options.model, safe='')}:predict"

    def request(text: str) -> bytes:
        given = {"signature_name": options.signature, "inputs": {options.input: [text]}}
        body = json.dumps(given).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: {options.address}\r\nContent-Length: {len(body)}\r\n"
        return f"{head}\r\n".encode() + body

    @contextlib.asynccontextmanager
    async def connect() -> AsyncIterator[Ask]:
        try:
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except (OSError, ValueError) as error:
            raise UserError(f"--server={options.address}: {error}") from error

        async def ask(request: bytes) -> None:
            writer.write(request)
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1]) if length else 0)
            except (OSError, EOFError) as error:
                raise UserError(f"a request failed: {error!r}") from error
            status = head.partition("\r\n")[0]
            if " 200 " not in status or not length:
                raise UserError(f"a request failed: {status}: {body[:200]!r}")

        try:
            yield ask
        finally:
            writer.close()

    return [request(text) for text in texts], connect


async def _measure(connect: Connect, requests: list[bytes], clients: int, seconds: float) -> dict:
    latencies: list[float] = []

    async def ask_on(client: int, ask: Ask) -> None:
        turn = client * 7919  # clients start at different texts
        while (sent := time.perf_counter()) < end:
            await ask(requests[turn % len(requests)])
            if sent >= begin:
                latencies.append(time.perf_counter() - sent)
            turn += 1

    try:
        async with asyncio.timeout(1.1 * seconds + _PATIENCE), AsyncExitStack() as stack:
            asks = [await stack.enter_async_context(connect()) for _ in range(clients)]
            begin = time.perf_counter() + seconds / 10
            end = begin + seconds
            await asyncio.gather(*(ask_on(i, ask) for i, ask in enumerate(asks)))
    except TimeoutError as error:
        raise UserError(f"a request got no response in {_PATIENCE} s") from error
    if not latencies:
        raise UserError(f"no request got a response in --seconds={seconds:g}")
    p50, p99 = np.percentile(1000 * np.array(latencies), [50, 99])
    return {
        "clients": clients,
        "requests_per_second": len(latencies) / seconds,
        "p50_ms": float(p50),
        "p99_ms": float(p99),
    }


def report(options: LoadTestOptions) -> int:
    """Prints a table row by row during the measurement, and writes it to the --json file."""
    rows = []
    for row in load_test(options):
        if not rows:
            print("clients  requests/s  p50 ms  p99 ms  p99/p50  against one client")
        rows.append(row)
        row["against_one_client"] = row["requests_per_second"] / rows[0]["requests_per_second"]
        print(
            f"{row['clients']:7d}  {row['requests_per_second']:10.1f}  {row['p50_ms']:6.2f}  "
            f"{row['p99_ms']:6.2f}  {row['p99_ms'] / row['p50_ms']:7.1f}  "
            f"{row['against_one_client']:.2f}x",
            flush=True,
        )
    if options.json:
        write_json(options.json, rows)
    return 0


if __name__ == "__main__":
    run_command(LoadTestOptions, report)
