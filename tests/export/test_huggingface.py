"""Export as a Hugging Face folder: writing, loading, errors."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.export.exported import MAKERS, TEACHER
from tests.models.huggingface_folder import random_weights
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
from tf_efficientbert.export.huggingface import export_huggingface
from tf_efficientbert.export.options import ExportOptions
from tf_efficientbert.models.task_model import TaskModel
from tf_efficientbert.models.teacher import load_teacher
from tf_efficientbert.models.text_model import TextModel, load

_FILES = ["README.md", "config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"]
_MAKERS = {  # two students, one of them on pairs, and two teachers, one of them with one output
    **MAKERS,
    "teacher": lambda: small_text_model(
        "classification", TEACHER, dropout=0.2, layer_norm_epsilon=1e-12
    ),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """{kind: (model, its folder)}"""
    root = tmp_path_factory.mktemp("huggingface")
    models = {kind: make() for kind, make in _MAKERS.items()}
    for kind, model in models.items():
        export_huggingface(model, root / kind)
    return {kind: (model, root / kind) for kind, model in models.items()}


@pytest.fixture
def copied(exported, tmp_path):
    """Copies an exported folder, so that a test can damage it."""
    return lambda kind: shutil.copytree(exported[kind][1], tmp_path / "damaged")


def _config(folder) -> dict:
    return json.loads((folder / "config.json").read_text("utf-8"))


def _assert_same_answers(ours: TextModel, theirs: TextModel) -> None:
    examples = small_examples(theirs.task, count=20)
    encoded, expected = ours.encode(examples), theirs.encode(examples)
    np.testing.assert_array_equal(encoded.token_ids, expected.token_ids)
    np.testing.assert_allclose(ours.logits(encoded), theirs.logits(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", _MAKERS)
def test_a_loaded_export_has_the_same_logits(exported, kind):
    model, folder = exported[kind]
    assert sorted(path.name for path in folder.iterdir()) == _FILES
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1
    loaded = load(folder)
    _assert_same_answers(loaded, model)
    assert (loaded.task, loaded.max_tokens) == (model.task, model.max_tokens)
    assert loaded.tokenizer.vocabulary == model.tokenizer.vocabulary
    ours, theirs = (m.backbone.get_config() for m in (loaded, model))
    for name in ("vocabulary_size", "max_positions", "layer_norm_epsilon", "exact_gelu", "dropout"):
        assert ours[name] == theirs[name]
    # BERT cells do not depend on it, and Hugging Face has no setting for it.
    mismatch = model.backbone.architecture.channel_mismatch
    architecture = dataclasses.replace(loaded.backbone.architecture, channel_mismatch=mismatch)
    assert architecture == model.backbone.architecture


def test_a_student_is_described_by_its_architecture_and_its_variables_paths(exported):
    model, folder = exported["pair"]
    config, weights = _config(folder), load_file(folder / "model.safetensors")
    assert config["model_type"] == "efficientbert"
    assert config["architecture"]["formulas"] == list(model.backbone.architecture.formulas)
    assert len(weights) == len(model.model.weights)
    kernel = model.backbone.attentions[2].key.kernel
    np.testing.assert_array_equal(weights["efficient_bert/attention_2/key/kernel"], kernel)


def test_a_teacher_s_names_and_shapes_are_those_of_hugging_face_s_bert(exported):
    model, folder = exported["teacher"]
    config, weights = _config(folder), load_file(folder / "model.safetensors")
    expected = {f"bert.{name}": array.shape for name, array in random_weights(config).items()}
    expected |= {"classifier.weight": (3, 24), "classifier.bias": (3,)}
    assert {name: array.shape for name, array in weights.items()} == expected
    query = model.backbone.attentions[0].query.kernel
    name = "bert.encoder.layer.0.attention.self.query.weight"
    np.testing.assert_array_equal(weights[name], np.transpose(query))


def test_labels_and_activation_have_hugging_face_s_names(exported):
    classes, number = _config(exported["teacher"][1]), _config(exported["regression"][1])
    assert classes["id2label"] == dict(zip("012", LABELS, strict=True))
    assert classes["label2id"] == {label: i for i, label in enumerate(LABELS)}
    assert classes["problem_type"] == "single_label_classification"
    assert classes["hidden_act"] == "gelu_new" and number["hidden_act"] == "gelu"
    assert number["problem_type"] == "regression" and number["num_labels"] == 1


@pytest.mark.parametrize("kind", ["teacher", "regression"])
def test_an_exported_teacher_is_a_valid_teacher_folder(exported, kind):
    model, folder = exported[kind]
    pretrained = load_teacher(folder)
    teacher = TaskModel(pretrained.backbone, model.model.rebuilt().head)
    teacher.head.pooler.set_weights([pretrained.pooler_kernel, pretrained.pooler_bias])
    reread = TextModel(teacher, model.tokenizer, model.task, model.max_tokens)
    _assert_same_answers(reread, model)


def test_a_student_is_no_teacher_folder(exported):
    with pytest.raises(UserError, match="model_type is 'efficientbert', expected 'bert'"):
        load_teacher(exported["pair"][1])


def test_training_precision_and_fit_projection_are_not_exported(tmp_path):
    model = small_text_model(fit_size=10, dtype="mixed_bfloat16")
    export_huggingface(model, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.backbone.fit_projection is None
    weights = load_file(tmp_path / "model" / "model.safetensors")
    assert {array.dtype.name for array in weights.values()} == {"float32"}
    exact = TextModel(
        model.model.rebuilt(dtype="float32"), model.tokenizer, model.task, model.max_tokens
    )
    _assert_same_answers(loaded, exact)


def test_a_cased_tokenizer_stays_cased(tmp_path):
    model = small_text_model()
    model.tokenizer = type(model.tokenizer)(model.tokenizer.vocabulary, lower_case=False)
    export_huggingface(model, tmp_path / "model")
    assert not load(tmp_path / "model").tokenizer.lower_case
    written = json.loads((tmp_path / "model" / "tokenizer_config.json").read_text("utf-8"))
    assert written == {
        "do_lower_case": False,
        "tokenizer_class": "BertTokenizer",
        "model_max_length": model.max_tokens,
    }


def test_the_card_describes_the_model_and_how_to_open_it(exported):
    cards = {
        kind: (folder / "README.md").read_text("utf-8") for kind, (_, folder) in exported.items()
    }
    assert "transformers does not support this network" in cards["pair"]
    assert "library_name: transformers\n" in cards["teacher"]
    assert "AutoModelForSequenceClassification" in cards["teacher"]
    model = exported["pair"][0]
    assert f"{model.model.count_params():,} parameters" in cards["pair"]
    assert "pairs of texts" in cards["pair"] and ", ".join(LABELS) in cards["pair"]
    assert "Output: a number" in cards["regression"]
    assert not any("{" in card or "}" in card for card in cards.values())


def test_labels_are_read_in_any_order(copied):
    folder = copied("teacher")
    config = _config(folder)
    config["id2label"] = dict(reversed(config["id2label"].items()))
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    assert load(folder).labels == LABELS


def test_a_failed_export_keeps_the_earlier_folder(copied, monkeypatch):
    folder = copied("teacher")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(model):
        raise RuntimeError("in the middle")

    monkeypatch.setattr("tf_efficientbert.export.huggingface.huggingface_card", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        export_huggingface(small_text_model("regression"), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_model_without_a_task_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no task head"):
        export_huggingface(small_supernet(layers=1), tmp_path / "model")


def _cut_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _cut_header(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:50])


def _with_weights(change):
    def damage(folder):
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors")

    return damage


def _with_config(**changes):
    def damage(folder):
        config = _config(folder)
        ours = config["tf_efficientbert"]
        for key, value in changes.items():
            part = ours if key in ours else config
            part[key] = value
            if value is None:
                del part[key]
        (folder / "config.json").write_text(json.dumps(config), "utf-8")

    return damage


_POOLER, _KERNEL = "bert.pooler.dense.bias", "efficient_bert/attention_1/key/kernel"
_DAMAGES = {
    "weights cut short": ("teacher", _cut_weights, r"model\.safetensors is damaged"),
    "header cut short": ("pair", _cut_header, r"model\.safetensors is damaged"),
    "no weights": ("pair", lambda f: (f / "model.safetensors").unlink(), r"safetensors: no such"),
    "no vocabulary": ("pair", lambda f: (f / "vocab.txt").unlink(), r"vocab\.txt: no such file"),
    "a weight missing": (
        "teacher",
        _with_weights(lambda w: w.pop(_POOLER)),
        rf"model\.safetensors: .* {_POOLER} is missing",
    ),
    "a weight too many": (
        "pair",
        _with_weights(lambda w: w.update(more=np.zeros(3, np.float32))),
        r"model\.safetensors: .* more is unknown",
    ),
    "a weight of another shape": (
        "pair",
        _with_weights(lambda w: w.update({_KERNEL: w[_KERNEL][:5]})),
        rf"model\.safetensors: .*{_KERNEL} has shape \(5, 24\).* \(24, 24\)",
    ),
    "no config JSON": (
        "pair",
        lambda f: (f / "config.json").write_text("{"),
        r"config\.json, line 1: not valid JSON",
    ),
    "a config of another kind": (
        "pair",
        lambda f: (f / "config.json").write_text("[]"),
        r"config\.json holds no JSON object",
    ),
    "another model_type": (
        "teacher",
        _with_config(model_type="roberta"),
        r"config\.json: model_type is 'roberta', expected 'bert' or 'efficientbert'",
    ),
    "no labels": ("teacher", _with_config(id2label=None), r"config\.json: id2label is None"),
    "labels with a gap": (
        "pair",
        _with_config(id2label={"0": "a", "2": "b"}),
        r"config\.json: id2label is .* expected the labels",
    ),
    "a label twice": (
        "pair",
        _with_config(id2label={"0": "a", "1": "a", "2": "b"}),
        r"config\.json: labels of task 'custom'",
    ),
    "one label less": (
        "teacher",
        _with_config(id2label={"0": "a", "1": "b"}),
        r"classifier\.weight has shape \(3, 24\), which does not fit \(2, 24\)",
    ),
    "no problem_type": ("pair", _with_config(problem_type=None), "problem_type is None"),
    "another program's": (
        "teacher",
        _with_config(tf_efficientbert=None),
        r"config\.json: tf_efficientbert is None, expected the object that trainers\.export_model",
    ),
    "pair is no bool": ("pair", _with_config(pair="yes"), r"tf_efficientbert\.pair is 'yes'"),
    "metrics no list": ("pair", _with_config(metrics="acc"), r"tf_efficientbert\.metrics is"),
    "too many tokens": ("pair", _with_config(max_tokens=17), "max_tokens is 17, but the model has"),
    "no architecture": ("pair", _with_config(architecture=None), "architecture is None"),
    "an unknown operator": (
        "pair",
        _with_config(architecture={"formulas": ["sin(x)"]}),
        r"config\.json: architecture: ",
    ),
    "an unknown activation": ("teacher", _with_config(hidden_act="relu"), "hidden_act is 'relu'"),
    "another activation": ("pair", _with_config(hidden_act=["gelu"]), r"hidden_act is \['gelu'\]"),
    "a wrong width": ("teacher", _with_config(intermediate_size=40), "does not fit"),
    "a wrong dropout": ("pair", _with_config(hidden_dropout_prob=1), "hidden_dropout_prob is 1"),
    "another vocabulary": ("teacher", _with_config(vocab_size=41), "word_embeddings.weight has"),
}


@pytest.mark.parametrize(("kind", "damage", "message"), _DAMAGES.values(), ids=_DAMAGES)
def test_a_damaged_or_foreign_folder_is_an_error_that_names_the_file(copied, kind, damage, message):
    folder = copied(kind)
    damage(folder)
    with pytest.raises(UserError, match=message) as caught:
        load(folder)
    assert str(folder) in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_job_s_folder_is_not_read_as_a_hugging_face_folder(tmp_path):
    (tmp_path / "config.json").write_text('{"flags": {}}', "utf-8")
    with pytest.raises(UserError, match=r"holds no saved model: there is no model\.keras"):
        load(tmp_path)


@pytest.fixture
def options(tmp_path):
    """Makes options to export a pair model, which it saves."""
    small_text_model("pair", TEACHER).save(tmp_path / "model")
    given = {"model": str(tmp_path / "model"), "output_dir": str(tmp_path / "export")}
    return lambda **more: ExportOptions(**given, format="huggingface", **more)


def test_the_job_needs_no_data_and_reports_its_files(options, tmp_path):
    result = export(options())
    assert result["huggingface"] == str(tmp_path / "export" / "huggingface")
    assert result["opens_in_transformers"] is True
    model = load(result["huggingface"])
    assert result["parameters"] == model.model.count_params()
    _assert_same_answers(model, load(tmp_path / "model"))
    assert not (tmp_path / "export" / "saved_model").exists()
    assert export(options()) == result


def test_data_of_another_task_is_refused(options, tmp_path):
    rows = write_examples(tmp_path / "rows.tsv", TASKS["pair"], small_examples(TASKS["pair"]))
    data = {"task": "custom", "train_file": rows, "dev_file": rows, "max_tokens": 16}
    with pytest.raises(UserError, match="was trained for custom"):
        export(options(**data, labels_file=write_lines(tmp_path / "labels.txt", LABELS[::-1])))
    assert export(options(**data))["parameters"] > 0


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(UserError, match="--format=onnx: expected one of serving, huggingface"):
        ExportOptions(model=str(tmp_path), format="onnx")


@pytest.mark.parametrize(
    "flag", [{"saved_model_dir": "models"}, {"precisions": "int8"}, {"max_int8_loss": 2.0}]
)
def test_flags_without_effect_on_the_folder_are_refused(options, flag):
    name = next(iter(flag))
    with pytest.raises(UserError, match=f"--{name}=.* cannot be combined with --format=hugging"):
        options(**flag)
