import dataclasses
import json

import numpy as np
import pytest

from tests.models.small_models import small_architecture, small_task_model
from tests.models.small_text_models import (
    LABELS,
    TASKS,
    VOCABULARY,
    small_examples,
    small_supernet,
    small_text_model,
    write_examples,
    write_lines,
    write_predictions,
)
from tf_efficientbert.architecture import Architecture
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.distillation.cached_outputs import CachedTeacherOutputs
from tf_efficientbert.distillation.distiller import DistillOptions, distill
from tf_efficientbert.distillation.student_architecture import resolve_architecture
from tf_efficientbert.distillation.task_teacher import labelled_by
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.text_model import TextModel

_PUBLISHED = Architecture.from_preset("efficientbert")
_ORDINARY = "linear1_1(gelu(linear1_1(x,wb1)),wb2)"


def _supernet(layers=6, **sizes):
    return small_architecture([_ORDINARY] * layers, **sizes).supernet()


# === resolve_architecture ===


def test_published_and_plain_have_the_supernet_s_sizes_and_equal_parameter_counts():
    supernet = _supernet(hidden_size=48, ffn_width=36, num_heads=6, embedding_size=10)
    published, plain = (resolve_architecture(name, supernet) for name in ("published", "plain"))
    assert published.formulas == _PUBLISHED.formulas
    for architecture in (published, plain):
        for size in ("hidden_size", "ffn_width", "num_heads", "embedding_size", "embedding"):
            assert getattr(architecture, size) == getattr(supernet, size)
    assert published.count_parameters() == plain.count_parameters()
    assert published != plain


def test_plain_has_the_ordinary_formula_and_the_published_stacks_and_ratios():
    plain = resolve_architecture("plain", _supernet())
    assert {str(cell.formula) for cell in plain.cells} == {"linear(gelu(linear(x,wb1)),wb2)"}
    shapes = [(cell.stack, cell.ratio) for cell in plain.cells]
    assert shapes == [(cell.stack, cell.ratio) for cell in _PUBLISHED.cells]


def test_published_with_the_paper_s_sizes_is_the_preset():
    assert resolve_architecture("published", _PUBLISHED.supernet()) == _PUBLISHED


def test_with_a_supernet_of_twelve_layers_each_cell_is_repeated():
    published = resolve_architecture("published", _supernet(layers=12))
    assert published.formulas == tuple(f for f in _PUBLISHED.formulas for _ in range(2))


def test_a_supernet_of_another_depth_is_rejected():
    with pytest.raises(UserError, match="--architecture=plain needs .* 6 layers, this one has 8"):
        resolve_architecture("plain", _supernet(layers=8))


@pytest.mark.parametrize("name", ["efficientbert_tiny", "efficient_tinybert"])
def test_a_preset_is_resolved_by_name(name):
    assert resolve_architecture(name, _supernet()) == Architecture.from_preset(name)


def test_an_architecture_is_read_from_a_json_file(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(small_architecture().to_json(), "utf-8")
    assert resolve_architecture(str(path), _supernet()) == small_architecture()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "must be an object"),
        ("{}", "misses .*formulas"),
        (small_architecture().to_json().replace("tanh", "tang"), "layer 1 of 3"),
        (small_architecture().to_json().replace("24", "25"), "multiple of num_heads"),
    ],
)
def test_the_error_for_an_invalid_json_file_names_it(tmp_path, content, message):
    path = tmp_path / "mine.json"
    path.write_text(content, "utf-8")
    with pytest.raises(UserError, match=rf"--architecture=.*mine\.json: .*{message}"):
        resolve_architecture(str(path), _supernet())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("publish", "expected published, plain, efficientbert_tiny, .* or a .json file"),
        ("", "expected published"),
        ("absent.json", "absent.json: no such file"),
    ],
)
def test_the_error_for_an_unknown_architecture_lists_the_known_ones(name, message):
    with pytest.raises(UserError, match=message):
        resolve_architecture(name, _supernet())


# === options ===

_NAMES = {"teacher": "t", "supernet": "s"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"supernet": "s"}, "set either --teacher"),
        ({"teacher": "t"}, "--supernet is missing"),
        ({**_NAMES, "general_epochs": -1}, "--general_epochs=-1: expected 0 or more"),
        ({**_NAMES, "epochs": 0.0}, "--epochs=0.0: expected a number above 0"),
        ({**_NAMES, "temperature": 0.0}, "--temperature=0.0: expected a number above 0"),
        ({**_NAMES, "hidden_ratio": -0.5}, "--hidden_ratio=-0.5: expected 0 or more"),
        ({**_NAMES, "prediction_ratio": float("nan")}, "--prediction_ratio=nan"),
        ({**_NAMES, "hidden_ratio": 0.0, "prediction_ratio": 0.0}, "all 0: nothing to learn"),
        ({**_NAMES, "task": "custom"}, "needs --train_file"),
    ],
)
def test_invalid_options_are_rejected(options, message):
    with pytest.raises(UserError, match=message):
        DistillOptions(**options)


def test_training_on_text_has_its_own_epochs_learning_rate_and_batch_size():
    options = DistillOptions(**_NAMES, general_epochs=2.5, batch_size=7, seed=3, bfloat16=True)
    assert (options.epochs, options.learning_rate) == (10.0, 5e-5)
    general = options.general
    assert (general.epochs, general.learning_rate) == (2.5, 1e-4)
    assert (general.batch_size, general.seed, general.dtype) == (64, 3, "mixed_bfloat16")


# === checks before training ===


def _teacher(kind="classification"):
    return small_text_model(kind, small_architecture([_ORDINARY] * 2, embedding="bert"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folders of a teacher and a matching supernet."""
    root = tmp_path_factory.mktemp("models")
    _teacher().save(root / "teacher")
    small_supernet(fit_size=24).save(root / "supernet")
    return {name: str(root / name) for name in ("teacher", "supernet")}


@pytest.fixture
def refused(tmp_path, saved):
    """Runs `distill` on small models, some of them replaced, and expects a UserError."""

    def refused(message, teacher=None, supernet=None, **options):
        task = TASKS["classification"]
        rows = write_examples(tmp_path / "rows.tsv", task, small_examples(task))
        folders = dict(saved)
        for name, model in (("teacher", teacher), ("supernet", supernet)):
            if model:
                model.save(tmp_path / name)
                folders[name] = str(tmp_path / name)
        given = {"task": "custom", "max_tokens": 16, **options}
        files = {
            "train_file": rows,
            "dev_file": rows,
            "split": "90/10/0",
            "output_dir": str(tmp_path / "out"),
        }
        with pytest.raises(UserError, match=message):
            distill(DistillOptions(**files, **folders, general_epochs=0.0, **given))

    return refused


def test_a_teacher_without_a_task_is_rejected(refused):
    refused("--teacher=.*teacher was trained for no task", teacher=small_supernet())


def test_different_vocabularies_are_rejected(refused):
    words = [*VOCABULARY[:-1], "other"]
    teacher = TextModel(small_task_model(), Tokenizer(words), TASKS["classification"], 16)
    refused("vocabularies of --teacher=.* and --supernet=.*supernet differ", teacher=teacher)


def test_a_teacher_with_another_hidden_size_is_rejected(refused):
    refused(
        "--teacher=.* has hidden size 24, .* from a teacher with 20",
        supernet=small_supernet(fit_size=20),
    )
    refused("from a teacher with None", supernet=small_supernet())


def test_a_teacher_with_too_few_positions_is_rejected(refused):
    long = small_supernet(fit_size=24, max_positions=32)
    refused("--max_tokens=20: --teacher=.* has only 16 positions", supernet=long, max_tokens=20)


def test_data_of_another_task_than_the_teacher_s_is_rejected(refused, tmp_path):
    labels = write_lines(tmp_path / "labels.txt", LABELS[::-1])
    refused("--teacher=.* was trained for custom .*'so so'.*, the data", labels_file=labels)


def test_single_sentences_are_rejected_for_a_teacher_of_pairs(refused):
    message = r"trained for custom \(classification, pairs, .*, the data is custom \(.*single texts"
    refused(message, teacher=_teacher("pair"))


def test_an_architecture_that_cannot_inherit_is_rejected(refused, tmp_path):
    path = tmp_path / "wide.json"
    path.write_text(small_architecture([_ORDINARY] * 6, ffn_width=40).to_json(), "utf-8")
    refused("--architecture=.*wide.json cannot inherit from --supernet", architecture=str(path))
    path.write_text(small_architecture([_ORDINARY] * 5).to_json(), "utf-8")
    refused("5 layers are not a multiple of the parent's 6", architecture=str(path))


# === teachers on the task ===


@pytest.fixture
def losses(saved, tmp_path):
    """Distils a student on a few examples and returns its losses on the task."""

    def losses(name, task=TASKS["classification"], **options):
        rows = write_examples(tmp_path / "rows.tsv", task, small_examples(task, count=24))
        files = {"train_file": rows, "dev_file": rows, "split": "90/10/0", "task_kind": task.kind}
        training = {"general_epochs": 0.0, "epochs": 2.0, "batch_size": 8, "max_tokens": 16}
        training["learning_rate"] = 3e-3
        teacher = {} if "teacher_predictions" in options else {"teacher": saved["teacher"]}
        where = {"supernet": saved["supernet"], "output_dir": str(tmp_path / name), **teacher}
        recipe = {"recipe": "hidden"}
        distill(DistillOptions(**{**files, **training, **where, **recipe, **options}))
        history = json.loads((tmp_path / name / "history.json").read_text())["task"]
        return [record["loss"] for record in history]

    return losses


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe",
    [
        {"recipe": "hidden"},
        {"recipe": "hidden", "layer_map": "uniform", "pooled_ratio": 1.0},
        {"recipe": "relations", "relation_layer": 1, "relation_heads": 3},
        {"recipe": "logits", "pooled_ratio": 2.0, "pooled_loss": "contrastive"},
        {"recipe": "logits"},
    ],
    ids=str,
)
def test_cached_teacher_outputs_give_the_same_losses(losses, recipe, monkeypatch):
    padded, cached_batches = CachedTeacherOutputs.padded, []

    def seen(*arguments):
        cached_batches.append(padded(*arguments))
        return cached_batches[-1]

    monkeypatch.setattr(CachedTeacherOutputs, "padded", seen)
    computed, cached = (
        losses(str(memory), teacher_memory_gb=memory, **recipe) for memory in (0.0, 1.0)
    )
    assert len(computed) == len(cached_batches) == 6
    np.testing.assert_allclose(cached, computed, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_unlabelled_texts_are_learned_from_the_teacher(losses, tmp_path, kind):
    task, teacher = TASKS[kind], _teacher(kind)
    teacher.save(tmp_path / "teacher")
    supernet = small_architecture([_ORDINARY] * 6).supernet()
    small_text_model(kind, supernet, fit_size=24).save(tmp_path / "supernet")
    start = {name: str(tmp_path / name) for name in ("teacher", "supernet")}
    texts = small_examples(task, count=40, seed=7).texts
    file = write_lines(tmp_path / "more.tsv", ["text", *texts])
    alone = losses("alone", task, **start)
    mixed = losses("mixed", task, unlabelled_file=file, unlabelled_share=0.5, **start)
    assert (len(alone), len(mixed)) == (6, 12)
    assert np.isfinite(mixed).all()
    assert losses("again", task, unlabelled_file=file, unlabelled_share=0.5, **start) == mixed


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_only_a_regression_s_unlabelled_texts_get_labels(kind):
    teacher = _teacher(kind)
    texts = teacher.encode(dataclasses.replace(small_examples(TASKS[kind]), labels=None))
    labels = labelled_by(teacher, texts).labels
    if kind == "classification":
        assert labels is None
    else:
        assert labels.dtype == np.float32
        np.testing.assert_array_equal(labels, teacher.logits(texts))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_a_file_of_predictions_gives_the_same_losses_as_the_teacher(losses, tmp_path, kind):
    task, teacher = TASKS[kind], _teacher(kind)
    teacher.save(tmp_path / "teacher")
    # The supernet has a head, as the random values of a new one depend on loading a teacher.
    supernet = small_architecture([_ORDINARY] * 6).supernet()
    small_text_model(kind, supernet, fit_size=24).save(tmp_path / "supernet")
    start = {"supernet": str(tmp_path / "supernet")}
    file = write_predictions(
        tmp_path / "predictions.jsonl", teacher, small_examples(task, count=24)
    )
    expected = losses("expected", task, teacher=str(tmp_path / "teacher"), recipe="logits", **start)
    from_file = losses("from_file", task, teacher_predictions=file, **start)
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(from_file, expected, rtol=1e-4)
