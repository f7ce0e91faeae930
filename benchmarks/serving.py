"""Measures the local server: overhead, throughput, first request after a load.

    python -m benchmarks.serving --model=runs/quickstart/export/searched/saved_model \
        --texts=sentences.txt --json=serving.json

--model is a MODEL folder with VERSION/ folders of a classification, whose newest is served. --texts
has a sentence per line. The server is a separate process with its default flags, on the same cores
as this one. Prints:

- the time of the model alone, called in this process with as many threads as in the server, and the
  overhead of the server: the difference of the medians, measured alternately on the same texts;
- requests per second and latencies with one client and with many (`serving.load_test`);
- the time of the first request after a new version is loaded, relative to the median of later ones.
"""

import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from absl import app, flags

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from serving.batching import BatchingOptions
from serving.grpc_client import GrpcClient
from serving.load_test import LoadTestOptions, load_test
from serving.local_server import ServerOptions
from serving.rest_client import RestClient
from serving.servable import Servable
from tf_efficientbert.storage import write_json

_MODEL = flags.DEFINE_string("model", None, "MODEL folder", required=True)
_TEXTS = flags.DEFINE_string("texts", "", "file with a text per line; empty: film-review snippets")
_CLIENTS = flags.DEFINE_integer("clients", 32, "number of concurrent clients, compared with one")
_SECONDS = flags.DEFINE_float("seconds", 20.0, "seconds per measurement")
_SWAPS = flags.DEFINE_integer("swaps", 5, "number of new versions to load")
_JSON = flags.DEFINE_string("json", "", "also write all figures to this file")
_NAME = "served"
_WARM_UP = 20  # turns


def main(_) -> None:
    versions = [path for path in Path(_MODEL.value).glob("*") if path.name.isdecimal()]
    if not versions:
        sys.exit(f"--model={_MODEL.value} has no VERSION/ folder")
    newest = max(versions, key=lambda path: int(path.name))
    texts = LoadTestOptions(texts=_TEXTS.value).read_texts()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / _NAME
        _publish(newest, base, 1)
        with _server(base) as ports:
            addresses = {"grpc": f"127.0.0.1:{ports[0]}", "rest": f"127.0.0.1:{ports[1]}"}
            report = {
                "overhead": _overhead(base / "1", addresses, texts),
                "load": _load(addresses),
                "first_request": _first_requests(newest, base, addresses["grpc"], texts),
            }
    _print(report)
    if _JSON.value:
        write_json(_JSON.value, report)


def _publish(version: Path, base: Path, number: int) -> None:
    base.mkdir(exist_ok=True)
    new = base.with_name(f"new_{number}")
    shutil.copytree(version, new)
    new.rename(base / str(number))


@contextlib.contextmanager
def _server(base: Path) -> Iterator[tuple[int, int]]:
    command = [sys.executable, "-m", "serving.local_server", f"--model_name={_NAME}"]
    command += [f"--model_base_path={base}", "--port=0", "--rest_api_port=0"]
    log = base.with_name("server.log")
    with open(log, "wb") as file:
        process = subprocess.Popen(command, stderr=file)
    try:
        yield _ports(process, log)
    finally:
        process.terminate()
        process.wait()


def _ports(process: subprocess.Popen, log: Path) -> tuple[int, int]:
    """Waits until the server serves; returns its gRPC and REST ports."""
    while process.poll() is None:
        text = log.read_text("utf-8")
        ports = re.search(r"gRPC on (\d+), REST on (\d+)", text)
        if ports and "INFO serving\n" in text:
            return int(ports[1]), int(ports[2])
        time.sleep(0.1)
    sys.exit(f"the server did not start:\n{log.read_text('utf-8')}")


def _overhead(version: Path, addresses: dict[str, str], texts: list[str]) -> dict[str, float]:
    """Returns medians in milliseconds: of the model, and by protocol the server's overhead."""
    threads = ServerOptions(model_base_path=str(version.parent)).tensorflow_intra_op_parallelism
    servable = Servable(_NAME, 1, version, BatchingOptions(), lambda rows: None, threads)
    signature = servable.signature("")
    clients = {"grpc": GrpcClient(addresses["grpc"], _NAME)}
    clients["rest"] = RestClient(addresses["rest"], _NAME)
    asks = {
        "model": lambda text: signature.run({"text": np.array([text.encode()], object)}),
        **{
            name: lambda text, client=client: client.predict({"text": [text]})
            for name, client in clients.items()
        },
    }
    times = {name: [] for name in asks}
    end, turn = time.monotonic() + _SECONDS.value, 0
    while turn <= _WARM_UP or time.monotonic() < end:
        text = texts[turn % len(texts)]
        for name, ask in asks.items():
            for _ in range(3):  # times the last of three, after caches and threads have settled
                start = time.perf_counter()
                ask(text)
                elapsed = time.perf_counter() - start
            if turn >= _WARM_UP:
                times[name].append(1000 * elapsed)
        turn += 1
    for client in clients.values():
        client.close()
    medians = {name: statistics.median(values) for name, values in times.items()}
    more = {name: medians[name] - medians["model"] for name in clients}
    return {"model_ms": medians["model"], **{f"{n}_overhead_ms": ms for n, ms in more.items()}}


def _load(addresses: dict[str, str]) -> dict[str, list[dict]]:
    given = {
        "model": _NAME,
        "texts": _TEXTS.value,
        "seconds": _SECONDS.value,
        "clients": _CLIENTS.value,
    }
    rows = {}
    for name, address in addresses.items():
        options = LoadTestOptions(server=address, rest=name == "rest", **given)
        rows[name] = list(load_test(options))
    return rows


def _first_requests(newest: Path, base: Path, address: str, texts: list[str]) -> list[dict]:
    """Returns for each new version the time of its first request and the median of the next 200."""
    client, rows = GrpcClient(address, _NAME), []
    for number in range(2, 2 + _SWAPS.value):
        _publish(newest, base, number)
        while (state := client.status().get(number, ("LOADING", "")))[0] != "AVAILABLE":
            if state[0] == "END":
                sys.exit(f"version {number} is not served: {state[1]}")
            time.sleep(0.2)
        times = []
        for turn in range(201):
            start = time.perf_counter()
            client.predict({"text": [texts[turn % len(texts)]]})
            times.append(1000 * (time.perf_counter() - start))
        rows.append({"first_ms": times[0], "p50_ms": statistics.median(times[1:])})
        shutil.rmtree(base / str(number - 1))
    client.close()
    return rows


def _print(report: dict) -> None:
    overhead = report["overhead"]
    print(f"model alone: {overhead['model_ms']:.2f} ms")
    for name in ("grpc", "rest"):
        print(f"overhead of the server, {name}: {overhead[f'{name}_overhead_ms']:+.2f} ms")
    for name, rows in report["load"].items():
        one = rows[0]["requests_per_second"]
        for row in rows:
            print(
                f"{name}, {row['clients']:2d} clients: {row['requests_per_second']:6.1f} requests "
                f"per second ({row['requests_per_second'] / one:.2f}x), "
                f"p50 {row['p50_ms']:.2f} ms, p99 {row['p99_ms']:.2f} ms "
                f"({row['p99_ms'] / row['p50_ms']:.1f}x)"
            )
    ratios = [row["first_ms"] / row["p50_ms"] for row in report["first_request"]]
    shown = ", ".join(f"{ratio:.2f}x" for ratio in ratios)
    print(f"first request after a load, relative to the median of later ones: {shown}")


if __name__ == "__main__":
    app.run(main)
