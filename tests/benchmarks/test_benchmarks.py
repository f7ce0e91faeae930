"""The benchmarks run to their end, at a tiny size."""

import json
import subprocess
import sys

import pytest

from tests.models.small_text_models import small_examples, small_text_model
from tf_efficientbert.export.saved_model import export_saved_model

pytestmark = pytest.mark.slow
_PRECISIONS = {"float32", "float16", "int8_dynamic", "int8_static", "int4"}


def _run(*arguments: str) -> str:
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_inference_times_both_models_in_every_precision(tmp_path):
    path = tmp_path / "inference.json"
    said = _run("benchmarks.inference", "--tiny", "--minutes=0.1", f"--json={path}")
    rows = json.loads(path.read_text())
    fields = {"model", "runtime", "precision", "threads", "milliseconds"}
    assert all(row.keys() == fields and row["milliseconds"] > 0 for row in rows)
    found = {(row["model"], row["runtime"], row["precision"], row["threads"]) for row in rows}
    for model in ("efficientbert", "bert_base"):
        for threads in (1, 2):
            assert (model, "tensorflow", "float32", threads) in found
            precisions = _PRECISIONS - ({"int8_static"} if model == "bert_base" else set())
            assert {(model, "litert", p, threads) for p in precisions} <= found
    assert "int8_dynamic against plain BERT-base float32: " in said


def test_serving_measures_overhead_load_and_first_requests(tmp_path):
    model = small_text_model()
    export_saved_model(model, tmp_path / "model", small_examples(model.task))
    path = tmp_path / "serving.json"
    flags = (f"--model={tmp_path / 'model'}", f"--json={path}", "--seconds=0.5", "--swaps=2")
    said = _run("benchmarks.serving", *flags)
    report = json.loads(path.read_text())
    assert report["overhead"]["model_ms"] > 0
    for protocol in ("grpc", "rest"):
        one, many = report["load"][protocol]
        assert (one["clients"], many["clients"]) == (1, 32)
        assert 0 < one["p50_ms"] <= one["p99_ms"]
    assert len(report["first_request"]) == 2
    assert "relative to the median of later ones" in said
