"""How fast one text is answered: EfficientBERT and BERT-base in every runtime and precision.

    python -m benchmarks.inference --json=inference.json

Random weights, the same in every form; 128 real tokens, batch 1, at 1 and at 2 threads. Each
contender is a process of its own; they take turns, a few runs each, so that whatever else the
machine does hits them alike. Times include feeding the inputs and fetching the logits. What is
printed and written are medians; look at their ratios, for absolute times drift.

BERT-base is the plain graph, in LiteRT as elsewhere; ONNX Runtime and OpenVINO run the plain graph
of EfficientBERT too. `bert_base_inference_graph` is BERT-base with the changes that EfficientBERT's
LiteRT file has (`export/inference_graph.py`): like for like. ONNX Runtime and OpenVINO take part
where the extra `bench` is installed, each quantized by its own tools as their pages advise.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from absl import app, flags

from tf_efficientbert.storage import write_json

_JSON = flags.DEFINE_string("json", "", "where to write every median; empty for nowhere")
_MINUTES = flags.DEFINE_float("minutes", 8.0, "time for the measurement, after the conversions")
_TINY = flags.DEFINE_bool("tiny", False, "tiny shapes, to try the benchmark out")
_TOKENS = 128
_THREADS = (1, 2)
_TURN_SECONDS = 0.25
_Key = tuple[str, str, str]


def main(_) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tiny = ["tiny"] if _TINY.value else []
        _start("benchmarks.inference_files", folder, str(_TOKENS), *tiny, stdout=None).wait()
        listed = Path(folder) / "contenders.json"
        if not listed.exists():
            sys.exit("the files could not be made; see above")
        contenders = json.loads(listed.read_text("utf-8"))
        sizes = {_key(row): _bytes(row["path"]) for row in contenders if row["runtime"] == "litert"}
        rows = [row for threads in _THREADS for row in _measured(contenders, threads)]
    _print_table(rows, sizes)
    for threads in _THREADS:
        print(f"EfficientBERT in LiteRT, {threads} thread{'s' * (threads > 1)}:")
        _print_ratios({_key(row): row["milliseconds"] for row in rows if row["threads"] == threads})
    if _JSON.value:
        write_json(_JSON.value, rows)


class _Contender:
    """A contender's process."""

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
        self.logits = self._answer()["logits"]

    def turn(self) -> None:
        self._process.stdin.write(f"{self._runs}\n")
        self._process.stdin.flush()
        times = self._answer()
        self.medians.append(statistics.median(times))
        self._runs = max(3, min(200, round(1000 * _TURN_SECONDS / self.medians[-1])))

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            name = " ".join(_key(self.row))
            raise RuntimeError(f"{name} ended with status {self._process.wait()}")
        return json.loads(line)

    def stop(self) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _start(module: str, *arguments: str, **pipes) -> subprocess.Popen:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, text=True, env=environment, **pipes)


def _measured(rows: list[dict], threads: int) -> Iterator[dict]:
    contenders = []
    try:
        for row in rows:
            try:
                contenders.append(_Contender(row, threads))
            except RuntimeError as error:
                print(f"left out: {error}", flush=True)
        end = time.monotonic() + 60 * _MINUTES.value / len(_THREADS)
        for contender in contenders:  # reaches the speed it keeps
            contender.turn()
            contender.medians.clear()
        while time.monotonic() < end or not contenders[-1].medians:
            for contender in contenders:
                contender.turn()
    finally:
        for contender in contenders:
            contender.stop()
    for contender in contenders:
        named = {name: contender.row[name] for name in ("model", "runtime", "precision")}
        milliseconds = statistics.median(contender.medians)
        yield {**named, "threads": threads, "milliseconds": round(milliseconds, 4)}


def _key(row: dict) -> _Key:
    return row["model"], row["runtime"], row["precision"]


def _bytes(path: str) -> int:
    return Path(path).stat().st_size


def _print_table(rows: list[dict], sizes: dict[_Key, int]) -> None:
    by_key: dict[_Key, dict[int, float]] = {}
    for row in rows:
        by_key.setdefault(_key(row), {})[row["threads"]] = row["milliseconds"]
    print(f"{'model':<26}{'runtime':<13}{'precision':<14}" + "1 thread  2 threads       bytes")
    for key, times in by_key.items():
        model, runtime, precision = key
        shown = "".join(f"{times.get(t, float('nan')):>9.2f}" for t in _THREADS)
        size = f"{sizes[key]:>12,}" if key in sizes else ""
        print(f"{model:<26}{runtime:<13}{precision:<14}{shown} ms{size}")


def _print_ratios(times: dict[_Key, float]) -> None:
    ours = "efficientbert", "litert"
    int8, float32 = times.get((*ours, "int8_dynamic")), times.get((*ours, "float32"))
    others = {
        key: value
        for key, value in times.items()
        if key[0] == "efficientbert" and key[1] in ("onnxruntime", "openvino")
    }
    bert, same = "bert_base", "bert_base_inference_graph"
    lines = {
        "int8 against plain BERT-base float32": (times.get((bert, "litert", "float32")), int8),
        "float32 against plain BERT-base float32": (
            times.get((bert, "litert", "float32")),
            float32,
        ),
        "like for like, int8 against float32": (times.get((same, "litert", "float32")), int8),
        "like for like, int8 against int8": (times.get((same, "litert", "int8_dynamic")), int8),
    }
    if others:
        best = min(others, key=others.get)
        lines[f"int8 against the best other, {best[1]} {best[2]}"] = (others[best], int8)
    for text, (slower, faster) in lines.items():
        if slower and faster:
            print(f"  {text}: {slower / faster:.2f}x")


if __name__ == "__main__":
    app.run(main)
