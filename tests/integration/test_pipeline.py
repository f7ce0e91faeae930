import json
import shutil

import numpy as np
import pytest

from tests.integration.toy import SENTENCES, error_line, finish_job, pipeline_options, run_job
from tf_efficientbert.models.text_model import load

pytestmark = pytest.mark.slow  # four minutes for the shared run


_STUDENTS = ("plain", "published", "searched")
_MODELS = ("teacher", *_STUDENTS)
_PHASES = {
    *("teacher", "supernet", "search", "students", "report"),
    *(f"export_{name}" for name in _MODELS),
}


def _files(folder):
    """Returns {path: (content, modification time)} of all files except locks."""
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_the_report_covers_the_test_split(finished_run):
    _, report, _ = finished_run
    assert (report["task"], report["split"], report["examples"]) == ("snippets", "test", SENTENCES)
    assert [model["name"] for model in report["models"]] == list(_MODELS)


def test_the_report_has_all_figures_of_every_model(finished_run):
    folder, report, _ = finished_run
    for figures in report["models"]:
        model = load(folder / figures["name"] / "model")
        architecture = model.backbone.architecture
        head = (architecture.hidden_size + 1) * (architecture.hidden_size + 2)
        backbone = sum(weight.numpy().size for weight in model.backbone.weights)
        assert figures["parameters"] == backbone + head
        assert figures["macs"] == architecture.count_macs(128)
        assert figures["architecture"] == json.loads(architecture.to_json())
        assert 0 <= figures["test_accuracy"] <= 1
        correct = figures["test_accuracy"] * SENTENCES
        assert correct == pytest.approx(round(correct), abs=1e-6)
        assert 0 <= figures["test_accuracy_standard_error"] < 0.1
        for precision in ("float32", "int8"):
            litert = figures["litert"][precision]
            path = folder / "export" / figures["name"] / "litert" / f"model_{precision}.tflite"
            assert litert["bytes"] == path.stat().st_size
            assert set(litert["latency_ms"]) == {"1", "2"}
            assert all(0 < ms < 1000 for ms in litert["latency_ms"].values())
        # Some of these small matrices stay float32, and the graph takes space too.
        saved = figures["litert"]["float32"]["bytes"] - litert["bytes"]
        assert saved > figures["parameters"]


def test_students_have_the_same_size_and_are_smaller_than_the_supernet(finished_run):
    folder, report, _ = finished_run
    _, plain, published, searched = report["models"]
    assert searched["parameters"] <= plain["parameters"] == published["parameters"]
    supernet = load(folder / "supernet" / "model")
    assert published["parameters"] < supernet.model.count_params()
    assert load(folder / "published" / "model").backbone.fit_size is None


def test_the_report_has_the_candidates_of_every_stage(finished_run):
    folder, report, _ = finished_run
    stages = report["search"]["stages"]
    assert [stage["name"] for stage in stages] == ["joint", "formulas", "sizes"]
    for stage, planned in zip(stages, (3, 3, 4), strict=True):
        assert len(stage["candidates"]) == planned
        architectures = {json.dumps(c["architecture"]) for c in stage["candidates"]}
        assert len(architectures) == planned
        assert stage["fits"]
        for candidate in stage["candidates"]:
            assert {"architecture", "score", "parameters", "state", "seconds"} <= set(candidate)
            assert candidate["state"] == "complete" and 0 <= candidate["score"] <= 1
    last = stages[-1]["candidates"][stages[-1]["best"]]["architecture"]
    searched = load(folder / "searched" / "model").backbone.architecture
    assert json.loads(searched.to_json()) == last


def test_the_html_page_shows_models_and_search(finished_run):
    folder, report, _ = finished_run
    text = (folder / "report.html").read_text("utf-8")
    for words in (*_MODELS, "joint", "formulas", "sizes", "supernet: warm-up"):
        assert words in text
    for model in report["models"]:
        counts = report["confusion"][model["name"]]["counts"]
        assert sum(map(sum, counts)) == SENTENCES
        correct = sum(row[i] for i, row in enumerate(counts))
        assert correct == round(model["test_accuracy"] * SENTENCES)


def test_all_exported_formats_agree_with_the_keras_model(finished_run):
    _, report, _ = finished_run
    served = {f"saved_model_{name}" for name in ("text", "tokens", "examples", "classify")}
    forms = {"keras", *served, "litert_float32", "litert_int8"}
    for model in report["models"]:
        parity = report["parity"][model["name"]]
        assert set(parity) == forms
        assert parity["keras"]["accuracy"] == model["test_accuracy"]
        for form in forms - {"keras", "litert_int8"}:
            assert parity[form]["max_difference"] < 1e-4
            assert parity[form]["agreement"] == 1.0
        assert parity["litert_int8"]["agreement"] >= 0.9


def test_the_report_has_the_seconds_of_every_phase(finished_run):
    _, report, _ = finished_run
    assert set(report["seconds"]) == _PHASES
    assert all(seconds > 0 for seconds in report["seconds"].values())


def test_histories_are_kept_and_checkpoints_are_deleted(finished_run):
    folder, _, _ = finished_run
    steps = {
        ("teacher", "fine-tuning"): 3,
        **{(name, "task"): 12 for name in _STUDENTS},
    }
    for (name, phase), count in steps.items():
        history = json.loads((folder / name / "history.json").read_text())[phase]
        assert [record["step"] for record in history] == list(range(1, count + 1))
        assert "dev_accuracy" in history[-1]
    assert not list(folder.rglob("checkpoints"))
    assert not (folder / "teacher_outputs").exists()
    assert not [path for path in folder.rglob(".*") if not path.name.endswith(".lock")]


def test_the_output_lists_the_models_and_the_next_command(finished_run):
    folder, report, printed = finished_run
    for model in report["models"]:
        assert f"{model['parameters'] / 1e6:.2f} M" in printed
    for answer in report["answers"]:
        assert answer["text"] in printed
    assert f"tf-efficientbert predict --model={folder}/searched/model" in printed
    assert "[1/8] teacher" in printed
    assert "Searched against plain: " in printed


def test_a_finished_run_prints_its_report_again(bert, finished_run):
    folder, report, printed = finished_run
    before = _files(folder)
    options = pipeline_options(bert, folder, checkpoint_seconds=1.0)
    first, *rest = finish_job("trainers.run_pipeline", options).stdout.splitlines()
    assert first == f"{folder} is finished. Its report:"
    assert rest == printed.splitlines()[-len(rest) :]
    assert _files(folder) == before
    assert json.loads((folder / "report.json").read_text("utf-8")) == report


def test_other_flags_are_rejected_and_no_file_changes(bert, finished_run):
    folder, _, _ = finished_run
    before = _files(folder)
    options = pipeline_options(bert, folder, student_epochs=3.0, seed=7)
    done = run_job("trainers.run_pipeline", options)
    line = error_line(done)
    assert line.startswith(f"{folder} belongs to a run with other flags or files: ")
    assert "seed was 0 and is now 7; student_epochs was 4.0 and is now 3.0" in line
    assert done.stdout == ""
    assert _files(folder) == before


def test_a_compressed_student_is_added_to_the_report(bert, finished_run, tmp_path):
    earlier, report, _ = finished_run
    folder, steps = tmp_path / "run", "prune(0.5),quantize(int8)"
    shutil.copytree(earlier, folder)
    for name in ("config.json", "report.json"):
        (folder / name).unlink()
    options = pipeline_options(bert, folder, compress=steps, compress_epochs=1.0)
    printed = finish_job("trainers.run_pipeline", options).stdout
    with_compressed = json.loads((folder / "report.json").read_text("utf-8"))
    assert with_compressed["models"][:-1] == report["models"]
    assert with_compressed["models"][-1]["name"] == "compressed"
    assert with_compressed["models"][-1]["parameters"] == report["models"][-1]["parameters"]
    assert with_compressed["parity"]["compressed"]["litert_int8"]["agreement"] >= 0.9
    assert [row["step"] for row in with_compressed["compression"]] == [
        "as it was",
        *steps.split(","),
    ]
    weights = load(folder / "compressed" / "model").model.weights
    nonzero = sum(np.count_nonzero(weight.numpy()) for weight in weights)
    assert nonzero == with_compressed["compression"][-1]["nonzero_parameters"]
    for text in (printed, (folder / "report.html").read_text("utf-8")):
        assert "prune(0.5)" in text and "compressed" in text
