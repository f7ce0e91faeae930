"""Measures the latency of one text: EfficientBERT and BERT-base in all runtimes and precisions.

    python -m benchmarks.inference --json=inference.json

Weights are random, and the same in every form. Texts have 128 real tokens; batch 1, with 1 and with
2 threads. Each contender is a separate process. They alternate after a few runs each, so that other
load on the machine affects them equally. Times include feeding the inputs and fetching the logits.
Results are medians. Compare their ratios: absolute times drift.

BERT-base is the plain graph, in LiteRT and TensorFlow. ONNX Runtime and OpenVINO run
EfficientBERT's plain graph. For a fair comparison, `bert_base_inference_graph` is BERT-base with
the optimizations of EfficientBERT's LiteRT file (`export/inference_graph.py`). ONNX Runtime and
OpenVINO need the extra `bench`; their models are quantized with their own tools as their
documentation recommends.
"""

import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import app, flags

from tf_efficientbert.storage import write_json

_JSON = flags.DEFINE_string("json", "", "also write the two models' medians to this file")
_MINUTES = flags.DEFINE_float("minutes", 8.0, "minutes for the measurement, after the conversions")
_TINY = flags.DEFINE_bool("tiny", False, "tiny shapes, to try the benchmark")
_TOKENS = 128
_THREADS = (1, 2)
_TURN_SECONDS = 0.25
SAME_GRAPH = "bert_base_inference_graph"  # the same as in benchmarks.inference_files
_Key = tuple[str, str, str]


def main(_) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tiny = ["tiny"] if _TINY.value else []
        _start("benchmarks.inference_files", folder, str(_TOKENS), *tiny, stdout=None).wait()
        listed = Path(folder) / "contenders.json"
        if not listed.exists():
            sys.exit("the conversion failed; see above")
        contenders = json.loads(listed.read_text("utf-8"))
        sizes = {_key(row): _bytes(row["path"]) for row in contenders if row["runtime"] == "litert"}
        rows = []
        for threads in _THREADS:
            rows += _measured(contenders, threads)
            if _JSON.value:
                write_json(_JSON.value, [_written(r) for r in rows if r["model"] != SAME_GRAPH])
    _print_table(rows, sizes)
    for threads in _THREADS:
        print(f"EfficientBERT in LiteRT, {threads} thread{'s' * (threads > 1)}:")
        _print_ratios({_key(row): row["milliseconds"] for row in rows if row["threads"] == threads})


class _Contender:
    """A contender's process. Its methods raise RuntimeError if it has ended."""

    def __init__(self, row: dict, threads: int):
        arguments = (row["runtime"], row["precision"], row["path"], str(threads), str(_TOKENS))
        self.row, self.medians, self._runs = row, [], 1
        self._process = _start(
            "benchmarks.inference_worker",
            *arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.logits = np.array(self._answer()["logits"])

    def turn(self) -> None:
        with contextlib.suppress(BrokenPipeError):  # the answer will be missing
            self._process.stdin.write(f"{self._runs}\n")
            self._process.stdin.flush()
        times = self._answer()
        self.medians.append(statistics.median(times))
        self._runs = max(3, min(200, round(1000 * _TURN_SECONDS / self.medians[-1])))

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process ended with status {self._process.wait()}")
        return json.loads(line)

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


def _start(module: str, *arguments: str, **pipes) -> subprocess.Popen:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, text=True, env=environment, **pipes)


def _measured(rows: list[dict], threads: int) -> list[dict]:
    """Returns the rows with "threads", "milliseconds" and "difference", in the given order."""
    contenders: dict[_Key, _Contender] = {}
    order = random.Random(threads)
    try:
        for row in rows:
            with _left_out_when_it_ends(row, contenders):
                contenders[_key(row)] = _Contender(row, threads)
        differences = _differences(contenders)
        for contender in list(contenders.values()):  # warms up
            with _left_out_when_it_ends(contender.row, contenders):
                contender.turn()
                contender.medians.clear()
        end, rounds = time.monotonic() + 60 * _MINUTES.value / len(_THREADS), 0
        while contenders and (not rounds or time.monotonic() < end):
            turns = list(contenders.values())
            order.shuffle(turns)  # a runtime's spinning threads disturb another one each time
            for contender in turns:
                with _left_out_when_it_ends(contender.row, contenders):
                    contender.turn()
            rounds += 1
    finally:
        for contender in contenders.values():
            contender.stop()
    return [
        {
            **{name: contender.row[name] for name in ("model", "runtime", "precision")},
            "threads": threads,
            "milliseconds": round(statistics.median(contender.medians), 4),
            "difference": differences[key],
        }
        for key, contender in contenders.items()
    ]


@contextlib.contextmanager
def _left_out_when_it_ends(row: dict, contenders: dict[_Key, _Contender]) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        print(f"left out: {' '.join(_key(row))}: {error}", flush=True)
        contenders.pop(_key(row), None)


def _differences(contenders: dict[_Key, _Contender]) -> dict[_Key, float]:
    """Returns the largest difference of each contender's logits from the network in TensorFlow.

    Exits if a difference is NaN, or too large in float32: the benchmark would time another network.
    """
    found = {}
    for key, contender in contenders.items():
        model = "bert_base" if key[0] == SAME_GRAPH else key[0]
        reference = contenders.get((model, "tensorflow", "float32"))
        if reference is None:
            sys.exit(f"{model} does not run in TensorFlow, so there is no reference")
        expected = reference.logits
        found[key] = float(np.abs(contender.logits - expected).max())
        if not found[key] < (1e-3 if key[2] == "float32" else np.inf):
            sys.exit(f"{' '.join(key)} is wrong: its logits differ by {found[key]}")
    return found


def _written(row: dict) -> dict:
    return {name: value for name, value in row.items() if name != "difference"}


def _key(row: dict) -> _Key:
    return row["model"], row["runtime"], row["precision"]


def _bytes(path: str) -> int:
    return Path(path).stat().st_size


def _print_table(rows: list[dict], sizes: dict[_Key, int]) -> None:
    by_key: dict[_Key, dict[int, float]] = {}
    for row in rows:
        by_key.setdefault(_key(row), {})[row["threads"]] = row["milliseconds"]
    print(
        f"{'model':<26}{'runtime':<13}{'precision':<14}"
        + "1 thread  2 threads  difference       bytes"
    )
    differences = {_key(row): row["difference"] for row in rows}
    for key, times in by_key.items():
        model, runtime, precision = key
        shown = "".join(f"{times.get(t, float('nan')):>9.2f}" for t in _THREADS)
        size = f"{sizes[key]:>12,}" if key in sizes else ""
        off = f"{differences[key]:>12.1e}"
        print(f"{model:<26}{runtime:<13}{precision:<14}{shown} ms{off}{size}")


def _print_ratios(times: dict[_Key, float]) -> None:
    """Prints how many times faster EfficientBERT in LiteRT is, for one number of threads."""
    bert, same = (("bert_base", "litert", "float32"), (SAME_GRAPH, "litert", "float32"))
    others = {
        key: value
        for key, value in times.items()
        if key[0] == "efficientbert" and key[1] in ("onnxruntime", "openvino")
    }
    against = {"plain BERT-base float32": bert, "BERT-base with the same graph, float32": same}
    if others:
        best = min(others, key=others.get)
        against[f"the best other runtime, {best[1]} {best[2]}"] = best
    for precision in ("float32", "int8_dynamic", "int8_static"):
        ours = times.get(("efficientbert", "litert", precision))
        for name, key in against.items():
            if ours and key in times:
                print(f"  {precision} against {name}: {times[key] / ours:.2f}x")
        like = SAME_GRAPH, "litert", precision
        if ours and precision != "float32" and like in times:
            print(f"  {precision} against BERT-base with the same graph: {times[like] / ours:.2f}x")


if __name__ == "__main__":
    app.run(main)
