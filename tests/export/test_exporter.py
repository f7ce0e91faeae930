import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.models.small_models import MAX_POSITIONS, small_architecture
from tests.models.small_text_models import (
    LABELS,
    TASKS,
    small_examples,
    small_supernet,
    small_text_model,
    write_examples,
    write_lines,
)
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.exporter import export
from tf_efficientbert.export.litert import LiteRtModel
from tf_efficientbert.export.litert_text import LiteRtTextModel
from tf_efficientbert.export.options import ExportOptions
from tf_efficientbert.export.saved_model import ServedModel
from trainers.export_model import print_exported

_ONE_LAYER = small_architecture(["linear1_1(gelu(linear1_1(x,wb1)),wb2)"])


@pytest.fixture
def options(tmp_path):
    """Makes options to export a custom task's model, which it saves."""

    def options(network, kind="classification", **changes) -> ExportOptions:
        examples = small_examples(TASKS[kind], count=20)
        rows = write_examples(tmp_path / f"{kind}.tsv", TASKS[kind], examples)
        network.save(tmp_path / "model")
        given = {
            "task": "custom",
            "task_kind": TASKS[kind].kind,
            "train_file": rows,
            "dev_file": rows,
            "split": "90/10/0",
            "max_tokens": MAX_POSITIONS,
            "model": str(tmp_path / "model"),
            "output_dir": str(tmp_path / "export"),
            "latency_runs": 3,
            "max_int8_loss": 100.0,  # one of 20 examples is 5 points
        }
        return ExportOptions(**{**given, **changes})

    return options


def test_an_export_writes_compares_and_times_every_form(options, tmp_path, capsys):
    model = small_text_model("pair", _ONE_LAYER)
    given = options(model, "pair")
    result = export(given)
    assert result["saved_model"] == str(tmp_path / "export" / "saved_model" / "1")
    examples = small_examples(model.task, count=20)
    expected = model.logits(model.encode(examples))
    served = ServedModel(result["saved_model"], model.task.served_texts).logits_of_text(examples)
    np.testing.assert_allclose(served, expected, rtol=0, atol=1e-5)
    for figures in result["litert"].values():
        path = Path(figures["path"])
        assert figures["bytes"] == path.stat().st_size > 1000
        assert (
            figures["latency_ms"].keys() == {"1", "2"} and min(figures["latency_ms"].values()) > 0
        )
        assert LiteRtModel(path).tokens == MAX_POSITIONS
    assert result["parity_split"] == "dev" and result["seconds"] > 0
    assert list(result["litert"]) == ["float32", "float16", "int8"]
    assert "mediapipe" not in result  # it does not support pairs
    assert result["parity"]["litert_float32"]["agreement"] == 1.0
    assert 0 < result["parity"]["litert_float16"]["max_difference"] < 0.01
    assert export(given) == result  # a finished job returns the same result
    assert [path.name for path in (tmp_path / "export" / "saved_model").iterdir()] == ["1"]

    capsys.readouterr()
    print_exported(result)
    head, _, keras, *rows = capsys.readouterr().out.splitlines()[1 : 3 + len(result["parity"])]
    assert "accuracy" in head and "largest difference" in head
    accuracy = 100 * result["parity"]["keras"]["accuracy"]
    assert keras.split()[:2] == ["keras", f"{accuracy:.1f}"]
    assert [row.split("  ")[1] for row in rows] == [
        form.replace("_", " ") for form in result["parity"] if form != "keras"
    ]
    (int8,) = (row for row in rows if "litert int8" in row)
    assert f"{result['litert']['int8']['bytes'] / 1e6:.1f}" in int8 and int8.endswith(" ms")

    kept = json.loads((tmp_path / "export" / "parity.json").read_text("utf-8"))
    assert kept == {"split": "dev", "examples": 20, "forms": result["parity"]}
    beside = Path(result["saved_model"]) / "assets.extra" / "parity.json"
    assert json.loads(beside.read_text("utf-8")) == kept
    card = (Path(result["saved_model"]) / "assets" / "model_card.md").read_text("utf-8")
    accuracy = result["parity"]["keras"]["accuracy"]
    assert f"- accuracy on the 20 examples of the dev set: {accuracy:.4f}" in card
    assert (Path(result["saved_model"]) / "assets.extra").exists()


@pytest.mark.slow
def test_forms_over_a_limit_are_not_delivered(options, tmp_path):
    served = tmp_path / "models" / "stars"
    (served / "6").mkdir(parents=True)
    model = small_text_model("regression", _ONE_LAYER)
    given = options(model, "regression", saved_model_dir=str(served))
    strict = dataclasses.replace(given, max_float_difference=0.0)
    message = "litert_float32 differs from Keras by .* more than --max_float_difference=0"
    with pytest.raises(UserError, match=message):
        export(strict)
    assert [path.name for path in served.iterdir()] == ["6"]
    assert not (tmp_path / "export" / "litert").exists()
    kept = json.loads((tmp_path / "export" / "parity.json").read_text("utf-8"))
    assert kept["forms"]["litert_float32"]["max_difference"] > 0
    # With higher limits the job resumes; with the strict ones again, it refuses the result.
    result = export(given)
    assert result["saved_model"] == str(served / "7")
    assert sorted(path.name for path in served.iterdir()) == ["6", "7"]
    assert (served / "7" / "assets" / "model_card.md").read_text("utf-8").startswith("# stars\n")
    with pytest.raises(UserError, match=message):
        export(strict)


@pytest.mark.slow
def test_flags_select_precisions_and_other_files(options, tmp_path):
    model = small_text_model(architecture=_ONE_LAYER)
    result = export(options(model, precisions="int4, float32", text_in="float32"))
    assert list(result["litert"]) == ["int4", "float32"]
    names = {path.name for path in (tmp_path / "export" / "litert").iterdir()}
    files = ("model_int4", "model_float32", "mediapipe_int8", "litert_text_float32")
    assert names == {f"{name}.tflite" for name in files}
    assert Path(result["mediapipe"]).name == "mediapipe_int8.tflite"
    text = LiteRtTextModel(result["litert_text"])
    examples = small_examples(model.task, count=4)
    expected = model.logits(model.encode(examples))
    np.testing.assert_allclose(text.logits(examples), expected, rtol=0, atol=1e-5)
    assert result["parity"]["litert_text_float32"]["max_difference"] < 1e-5
    assert result["parity"]["mediapipe_file_int8"]["agreement"] > 0.8


@pytest.mark.parametrize("asked", ["mediapipe", "mediapipe_python"])
def test_a_file_that_mediapipe_cannot_run_is_not_written(options, asked, tmp_path):
    python = tmp_path / "python"  # claims to have mediapipe
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    value = {"mediapipe": "int8", "mediapipe_python": str(python)}[asked]
    model = small_text_model("pair", _ONE_LAYER)
    with pytest.raises(UserError, match="--mediapipe=.* supports only classification of single"):
        export(options(model, "pair", **{asked: value}))


@pytest.mark.slow
def test_an_export_killed_after_its_delivery_keeps_that_version(options, tmp_path, monkeypatch):
    served = tmp_path / "models" / "stars"
    model = small_text_model("regression", _ONE_LAYER)
    given = options(model, "regression", saved_model_dir=str(served))

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LiteRtModel, "milliseconds", killed)  # times are measured last
        with pytest.raises(KeyboardInterrupt):
            export(given)
    assert [path.name for path in served.iterdir()] == ["1"]
    assert export(given)["saved_model"] == str(served / "1")
    assert [path.name for path in served.iterdir()] == ["1"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_tokens": 12}, "give --max_tokens=16, not 12"),
        ({"model": "absent"}, "absent holds no saved model"),
        ({"output_dir": ""}, "--output_dir is missing"),
        ({"saved_model_dir": "/dev/null/m"}, "--saved_model_dir=/dev/null/m cannot be written"),
    ],
)
def test_flags_that_do_not_match_the_model_are_refused(options, changes, message, tmp_path):
    given = options(small_text_model(architecture=_ONE_LAYER), **changes)
    with pytest.raises(UserError, match=message):
        export(given)
    assert not (tmp_path / "export" / "saved_model").exists()


@pytest.mark.slow
def test_the_metric_flag_sets_the_metric_that_limits_int8(options, tmp_path):
    examples = small_examples(TASKS["multilabel"], count=20)
    test = write_examples(tmp_path / "test.tsv", TASKS["multilabel"], examples)
    model = small_text_model("multilabel", _ONE_LAYER)
    given = {"train_file": "", "dev_file": "", "split": "80/10/10", "test_file": test}
    result = export(options(model, "multilabel", **given, metric="macro_f1", mediapipe="int8"))
    assert (result["metric"], result["parity_split"]) == ("macro_f1", "test")
    forms = result["parity"]
    assert list(forms["keras"])[-2:] == ["macro_f1", "micro_f1"] and "mediapipe_file_int8" in forms
    assert all("agreement" in figures for figures in forms.values())


def test_data_with_other_labels_than_the_model_is_refused(options, tmp_path):
    labels = write_lines(tmp_path / "labels.txt", LABELS[::-1])
    with pytest.raises(UserError, match="--model=.*model was trained for custom .*the data"):
        export(options(small_text_model(architecture=_ONE_LAYER), labels_file=labels))


def test_a_supernet_is_refused(options):
    with pytest.raises(UserError, match="was trained for no task"):
        export(options(small_supernet(layers=1)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "--model is missing"),
        ({"model": "m", "latency_runs": 0}, "--latency_runs=0: expected a number above 0"),
        ({"model": "m", "limit": -2}, "--limit=-2"),
        ({"model": "m", "max_int8_loss": -1.0}, "--max_int8_loss=-1.0: expected 0 or more"),
        ({"model": "m", "max_float_difference": float("nan")}, "--max_float_difference=nan"),
        ({"model": "m", "precisions": "float32,int7"}, "--precisions: 'int7' is none of float32"),
        ({"model": "m", "mediapipe": "int4"}, "--mediapipe: 'int4' is none of auto, none, float"),
        ({"model": "m", "text_in": "double"}, "--text_in: 'double' is none of float32"),
        (
            {"model": "m", "mediapipe": "none", "mediapipe_python": "p"},
            "--mediapipe=none writes none",
        ),
        ({"model": "m", "mediapipe": "int8", "mediapipe_python": "/x"}, "/x cannot be run"),
        (
            {"model": "m", "questions": "q", "text_in": "int8"},
            "--text_in=int8 cannot be combined with",
        ),
    ],
)
def test_invalid_options_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        ExportOptions(**given)
