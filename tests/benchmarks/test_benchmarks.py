"""The benchmarks run to their end, at a tiny size."""

import json
import re
import subprocess
import sys

import pytest

from tests.integration.toy import SENTENCES, as_flags, pipeline_options, write_bert
from tests.models.small_text_models import small_examples, small_text_model
from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.distillation.warm_up import warm_up
from tf_efficientbert.export.saved_model import export_saved_model
from tf_efficientbert.models.text_model import load

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


def test_ingredients_compares_rows_over_seeds_and_continues(tmp_path):
    folder = tmp_path / "run"
    options = pipeline_options(write_bert(tmp_path / "bert"), folder, student_epochs=1.0)
    flags = [*as_flags(options), "--rows=all,predictions-alone", "--seeds=0,1"]
    said = _run("benchmarks.ingredients", *flags)
    rows = json.loads((folder / "ingredients.json").read_text())
    assert [row["row"] for row in rows] == ["teacher", "all", "predictions-alone"]
    assert all(0 <= score <= 1 for row in rows for score in row["scores"])
    low, high = rows[2]["range"]
    assert low <= rows[2]["difference"] <= high
    ours, theirs = (sum(row["scores"]) / 2 for row in (rows[2], rows[1]))
    assert rows[2]["difference"] == pytest.approx(ours - theirs)
    changed = {path: path.stat().st_mtime_ns for path in folder.rglob("history.json")}
    assert _run("benchmarks.ingredients", *flags) == said
    assert changed == {path: path.stat().st_mtime_ns for path in folder.rglob("history.json")}
    with pytest.raises(AssertionError, match="student_epochs|epochs was"):
        _run("benchmarks.ingredients", *flags, "--student_epochs=2")
    _students_are_scored_in_each_form(folder, f"--limit={options.limit}")


def _students_are_scored_in_each_form(folder, limit):
    flags = (f"--run={folder}", "--max_tokens=64", limit)
    said = _run("benchmarks.students", *flags)
    rows = json.loads((folder / "students.json").read_text())
    assert [row["model"] for row in rows] == ["teacher", "float32", "int8", "int4"]
    assert [len(row["scores"]) for row in rows] == [1, 2, 2, 2]
    student = load(folder / "all-1" / "model")
    test = TaskData(TaskOptions(limit=SENTENCES), student.task).load("test")
    score = student.task.score(student.logits(student.encode(test)), test.labels)
    assert rows[1]["scores"][1] == score[student.task.metrics[0]]
    assert said.count("|") == 6 * 6
    with pytest.raises(AssertionError, match="scores.json is of --limit="):
        _run("benchmarks.students", *flags[:2], "--limit=5")
    with pytest.raises(AssertionError, match="has no student of --row=relations"):
        _run("benchmarks.students", *flags, "--row=relations")


def test_supernet_prints_the_hidden_losses_of_held_out_text(tmp_path):
    folder = tmp_path / "run"
    options = pipeline_options(write_bert(tmp_path / "bert"), folder)
    options.root.mkdir()
    options.write_own_text()
    warm_up(options.warm_up())
    flags = (f"--supernets={folder}/supernet/model", f"--teacher_dir={tmp_path}/bert")
    said = _run("benchmarks.supernet", *flags, "--text=speeches", "--sentences=200")
    row = said.splitlines()[-1].split("|")[2:-1]
    assert len(row) == 4 and all(0 < float(figure) < 10 for figure in row)


def test_side_by_side_prints_steps_per_second():
    said = _run("benchmarks.side_by_side", "--students=2", "--nobfloat16")
    rates = [float(rate) for rate in re.findall(r"^\d students: ([\d.]+) steps", said, re.M)]
    assert len(rates) == 2 and min(rates) > 0
