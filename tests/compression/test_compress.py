import json
import logging
import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.compression.tiny_compression import LAYERS, STEPS, tiny_options, write_models
from tests.integration.toy import kill_job_after
from tests.models.small_models import small_backbone
from tests.models.small_text_models import (
    small_examples,
    small_text_model,
    write_lines,
    write_predictions,
)
from tests.training.tiny_training import tiny_examples
from tf_efficientbert.compression.compress import CompressOptions, compress
from tf_efficientbert.compression.dropping import layer_influence, without_layers
from tf_efficientbert.compression.pruning import linear_maps
from tf_efficientbert.data.batching import EncodedExamples
from tf_efficientbert.distillation.cached_outputs import CachedTeacherOutputs
from tf_efficientbert.distillation.teacher_pass import TeacherPass
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.litert import export_litert
from tf_efficientbert.models.text_model import load

_STEPS = "drop(layers=1),prune(0.5),quantize(int8)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_models(folder)
    return folder


@pytest.fixture(scope="module")
def recorded():
    """The types of the examples that each following compression trains on."""
    original, kinds = TeacherPass.cached, []

    def seen(*arguments):
        examples = original(*arguments)
        kinds.append(type(examples))
        return examples

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TeacherPass, "cached", seen)
        yield kinds


@pytest.fixture(scope="module")
def finished(folder, recorded, tmp_path_factory):
    """(folder, result) of an uninterrupted compression with recorded teacher outputs."""
    output_dir = tmp_path_factory.mktemp("whole") / "run"
    result = compress(tiny_options(folder, _STEPS, output_dir=str(output_dir)))
    assert recorded[-1] == CachedTeacherOutputs
    return output_dir, result


def _assert_pruned(model, sparsity):
    for kernel in linear_maps(model.backbone):
        assert np.mean(kernel.numpy() == 0) >= sparsity, kernel.path


def _assert_on_the_grid(model):
    for kernel in linear_maps(model):
        value = kernel.numpy()
        steps = value / np.maximum(np.abs(value).max(axis=0) / 127, 1e-30)
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)


def test_the_saved_model_keeps_the_results_of_all_steps(folder, finished):
    model = load(finished[0] / "model").model
    _assert_pruned(model, 0.5)
    _assert_on_the_grid(model)
    cells = load(folder / "student").backbone.architecture.cells
    assert model.backbone.architecture.cells == cells[1:]


def _losses(output_dir):
    history = json.loads((output_dir / "history.json").read_text())
    return [record["loss"] for step in history.values() for record in step]


@pytest.mark.slow
def test_recorded_teacher_outputs_give_the_same_model_as_computed_ones(folder, finished, tmp_path):
    options = tiny_options(folder, _STEPS, output_dir=str(tmp_path), teacher_memory_gb=0.0)
    compress(options)
    np.testing.assert_allclose(_losses(finished[0]), _losses(tmp_path), rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("hidden_ratio", [0.0, 1.0])
def test_a_file_of_the_teacher_s_predictions_gives_the_same_model(folder, tmp_path, hidden_ratio):
    teacher = load(folder / "teacher")
    file = write_predictions(tmp_path / "said.jsonl", teacher, small_examples(teacher.task, 24))
    teachers = {"asked": {}, "given": {"teacher": "", "teacher_predictions": file}}
    for name, given in teachers.items():
        where = {"output_dir": str(tmp_path / name), "hidden_ratio": hidden_ratio}
        compress(tiny_options(folder, "prune(0.5)", **where, **given))
    given, asked = (_losses(tmp_path / name) for name in ("given", "asked"))
    np.testing.assert_allclose(given, asked, rtol=1e-4)


@pytest.mark.slow
def test_it_learns_from_texts_without_labels_too(folder, tmp_path):
    texts = write_lines(tmp_path / "texts.txt", ["text", *(f"word{i} word1" for i in range(8))])
    more = {"unlabelled_file": texts, "epochs": 1.0}
    run = tmp_path / "run"
    compress(tiny_options(folder, "prune(0.5)", output_dir=str(run), **more))
    history = json.loads((run / "history.json").read_text("utf-8"))["1 prune(0.5)"]
    assert len(history) == 4  # 24 and 8 examples in batches of 8
    with pytest.raises(UserError, match="--unlabelled_file and --teacher_predictions exclude"):
        tiny_options(folder, "prune(0.5)", teacher="", teacher_predictions="p.jsonl", **more)


def test_it_trains_without_a_hidden_loss(folder, tmp_path, recorded):
    for memory in (0.0, 1.0):
        where = {"output_dir": str(tmp_path / str(memory)), "teacher_memory_gb": memory}
        compress(tiny_options(folder, "prune(0.5)", hidden_ratio=0.0, **where))
    assert recorded[-2:] == [EncodedExamples, CachedTeacherOutputs]
    asked, kept = (_losses(tmp_path / memory) for memory in ("0.0", "1.0"))
    np.testing.assert_allclose(kept, asked, rtol=1e-3)


def test_the_result_has_scores_and_sizes_after_each_step(finished, tmp_path):
    output_dir, result = finished
    rows = result["steps"]
    assert [row["step"] for row in rows] == ["as it was", *_STEPS.split(",")]
    start, dropped, pruned, last = rows
    assert start["parameters"] > dropped["parameters"] == pruned["parameters"]
    kernels = sum(
        kernel.numpy().size for kernel in linear_maps(load(output_dir / "model").backbone)
    )
    missing = dropped["nonzero_parameters"] - pruned["nonzero_parameters"]
    assert missing == pytest.approx(kernels / 2, rel=0.01)
    # Rounding may add zeros; pruned weights stay zero.
    assert last["nonzero_parameters"] <= pruned["nonzero_parameters"]
    sizes = [row["zipped_bytes"] for row in rows]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 4
    assert start["macs"] > dropped["macs"] == pruned["macs"] == last["macs"]
    assert sum(row["seconds"] for row in rows) <= result["seconds"]
    for name in ("dev_accuracy", "parameters", "macs"):
        assert result[name] == last[name]
    weights = [weight.numpy() for weight in load(output_dir / "model").model.weights]
    assert last["parameters"] == sum(weight.size for weight in weights)
    assert last["nonzero_parameters"] == sum(np.count_nonzero(weight) for weight in weights)
    assert start["int8_bytes"] > dropped["int8_bytes"] == pruned["int8_bytes"]
    finished_model = load(output_dir / "model")
    file = export_litert(finished_model, tmp_path, finished_model.max_tokens, ("int8",))["int8"]
    assert last["int8_bytes"] == pytest.approx(file.stat().st_size, rel=1e-3)
    assert last["zipped_bytes"] == len(zlib.compress(b"".join(w.tobytes() for w in weights)))


def test_the_dev_score_is_that_of_the_saved_model(folder, finished):
    output_dir, result = finished
    model, options = load(output_dir / "model"), tiny_options(folder, _STEPS)
    written = Path(options.dev_file).read_text("utf-8").splitlines()
    lines = [line.split("\t") for line in written[1:]]
    answers = [answer.label for answer in model.predict([text for text, _ in lines])]
    correct = np.mean([a == label for a, (_, label) in zip(answers, lines, strict=True)])
    assert result["dev_accuracy"] == pytest.approx(correct)


def test_the_losses_of_every_step_are_kept_and_a_finished_run_is_not_repeated(folder, finished):
    output_dir, result = finished
    history = json.loads((output_dir / "history.json").read_text("utf-8"))
    assert list(history) == ["1 drop(layers=1)", "2 prune(0.5)", "3 quantize(int8)"]
    for records in history.values():
        assert len(records) == STEPS
        assert {"loss", "hidden", "prediction"} <= set(records[-1])
    assert compress(tiny_options(folder, _STEPS, output_dir=str(output_dir))) == result


@pytest.mark.slow
@pytest.mark.parametrize(
    "steps",
    [
        "quantize(int8),drop(1),prune(2:4)",
        "prune(0.5),quantize(int8),drop(1)",
        "prune(2:4),drop(1),quantize(int8)",
        "drop(1),quantize(int8),prune(0.5)",
    ],
)
def test_the_steps_may_come_in_any_order(folder, tmp_path, steps):
    compress(tiny_options(folder, steps, output_dir=str(tmp_path), epochs=1.0))
    model = load(tmp_path / "model").model
    _assert_pruned(model, 0.5)
    assert model.backbone.architecture.num_layers == LAYERS - 1
    _assert_on_the_grid(model)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["1 drop(layers=1)", "2 prune(0.5)", "3 quantize(int8)"])
def test_a_killed_compression_ends_with_the_same_model(folder, finished, tmp_path, caplog, phase):
    options = tiny_options(folder, _STEPS, output_dir=str(tmp_path), checkpoint_seconds=0.001)
    checkpoints = tmp_path / "checkpoints" / phase.replace(" ", "_")
    kill_job_after(checkpoints, 2, "trainers.compress", options)
    assert not (tmp_path / "model").exists()
    with caplog.at_level(logging.INFO, "tf_efficientbert"):
        compress(options)
    assert f"{phase}: resumes after step 2 of {STEPS}" in caplog.text
    other, result = finished
    history, expected = (json.loads((f / "history.json").read_text()) for f in (tmp_path, other))
    assert history == expected
    for one, two in zip(*(load(f / "model").model.weights for f in (tmp_path, other)), strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())
    ours = json.loads((tmp_path / "result.json").read_text("utf-8"))
    without_times = [[{**row, "seconds": 0} for row in one["steps"]] for one in (ours, result)]
    assert without_times[0] == without_times[1]


# === Dropping ===


@pytest.mark.parametrize("layer", [0, 1])
def test_a_resumed_step_drops_the_layers_that_it_has_chosen(folder, tmp_path, layer):
    chosen = tmp_path / "checkpoints" / "dropped-1.json"
    chosen.parent.mkdir()
    chosen.write_text(f"[{layer}]", "utf-8")
    result = compress(tiny_options(folder, "drop(1)", output_dir=str(tmp_path), epochs=0.1))
    assert result["steps"][-1]["step"] == f"drop(layers={layer + 1})"


def test_the_layers_that_stay_keep_their_weights():
    model = small_text_model(seed=1).model
    smaller = without_layers(model, (1,))
    ours, theirs = smaller.backbone, model.backbone
    pairs = [(smaller.head, model.head), (ours.embedding, theirs.embedding)]
    for new, old in ((0, 0), (1, 2)):
        pairs.append((ours.attentions[new], theirs.attentions[old]))
        pairs.append((ours.cells[new], theirs.cells[old]))
    for one, other in pairs:
        for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    assert len(smaller.weights) == sum(len(one.weights) for one, _ in pairs)


def test_a_layer_s_influence_is_the_cosine_distance_of_its_hidden_states():
    backbone, examples = small_backbone(seed=2), tiny_examples()
    angles = []
    for i in range(len(examples)):  # without padding
        batch = examples.padded(np.array([i]), int(examples.lengths[i]))
        batch = {name: batch[name] for name in ("token_ids", "segment_ids", "padding_mask")}
        states = [np.asarray(state[0], np.float64) for state in backbone(batch)["hidden_states"]]
        unit = [state / np.linalg.norm(state, axis=-1, keepdims=True) for state in states]
        angles.append([1 - np.sum(a * b, axis=-1) for a, b in zip(unit, unit[1:], strict=False)])
    expected = np.concatenate(angles, axis=1).mean(axis=1)
    np.testing.assert_allclose(layer_influence(backbone, examples), expected, rtol=1e-4)


# === Invalid input ===

_NAMES = {"output_dir": "out", "model": "m", "teacher": "t", "compress": "prune(0.5)"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": ""}, "--model is missing"),
        ({"teacher": ""}, "set either --teacher, .* or --teacher_predictions"),
        ({"compress": ""}, "--compress is missing: set steps"),
        ({"compress": "prune(2)"}, r"--compress=prune\(2\): prune\(2\): expected a share"),
        ({"epochs": 0.0}, "--epochs=0.0: expected a number above 0"),
        ({"hidden_ratio": -1.0}, "--hidden_ratio=-1.0: expected 0 or more"),
    ],
)
def test_invalid_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        CompressOptions(**{**_NAMES, **options})


def test_a_step_that_leaves_no_layer_is_refused_before_the_first(folder, tmp_path):
    options = tiny_options(folder, "prune(0.5),drop(2)", output_dir=str(tmp_path))
    with pytest.raises(UserError, match=r"drop\(2\) is not possible with 2 layers"):
        compress(options)
    assert not (tmp_path / "checkpoints").exists()


def test_models_that_do_not_belong_together_are_refused(folder, tmp_path):
    small_text_model("pair").save(tmp_path / "pairs")
    options = tiny_options(
        folder, "drop(1)", output_dir=str(tmp_path / "out"), teacher=str(tmp_path / "pairs")
    )
    with pytest.raises(UserError, match="--teacher=.*pairs was trained for custom"):
        compress(options)
