import hashlib
from pathlib import Path

import numpy as np
import pytest

from tests.models.small_text_models import VOCABULARY, small_supernet
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.errors import UserError
from tf_efficientbert.models import pretrained_supernet
from tf_efficientbert.models.pretrained_supernet import (
    PRETRAINED,
    SHA256,
    average_supernets,
    load_supernet,
    package_supernet,
)
from tf_efficientbert.models.text_model import TextModel
from trainers.package_supernet import PackageSupernetOptions, package

_STORED = Path(__file__).parent.parent / "fixtures" / "pretrained_supernet.npz"


@pytest.fixture(scope="module")
def pretrained():
    return load_supernet(PRETRAINED)


def _packaged(monkeypatch, folder, sha256):
    monkeypatch.setattr(pretrained_supernet, "_FOLDER", folder)
    monkeypatch.setattr(pretrained_supernet, "SHA256", sha256)
    return load_supernet(PRETRAINED)


def test_a_packaged_supernet_has_the_weights_in_half_precision(tmp_path, monkeypatch):
    supernet = small_supernet(fit_size=24)
    sha256 = package_supernet(supernet, tmp_path)
    again = _packaged(monkeypatch, tmp_path, sha256)
    ours, theirs = (model.backbone for model in (supernet, again))
    assert theirs.architecture == ours.architecture
    assert (theirs.fit_size, theirs.max_positions) == (ours.fit_size, ours.max_positions)
    assert (again.max_tokens, again.task) == (supernet.max_tokens, None)
    assert again.tokenizer.vocabulary == supernet.tokenizer.vocabulary
    for our, their in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(np.float16(our), np.asarray(their))
    inputs = _inputs(again, ["word1 word2 word3"])
    difference = np.abs(ours(inputs)["sequence_output"] - theirs(inputs)["sequence_output"]).max()
    assert 0 < difference < 0.02


def test_the_average_has_the_mean_of_the_weights():
    supernets = {name: small_supernet(fit_size=24) for name in "ab"}
    for number, supernet in enumerate(supernets.values()):
        for weight in supernet.backbone.weights:
            weight.assign(weight + number)
    halfway = [weight.numpy() + 0.5 for weight in supernets["a"].backbone.weights]
    average = average_supernets(supernets)
    for weight, expected in zip(average.backbone.weights, halfway, strict=True):
        np.testing.assert_allclose(weight, expected, rtol=0, atol=1e-6)


def test_supernets_of_different_sizes_have_no_average():
    supernets = {"a": small_supernet(fit_size=24), "b": small_supernet(fit_size=16)}
    with pytest.raises(UserError, match="--supernet: b and a are of different sizes"):
        average_supernets(supernets)


def test_supernets_of_other_tokens_have_no_average():
    supernets = {name: small_supernet(fit_size=24) for name in "ab"}
    cased = Tokenizer(VOCABULARY, lower_case=False)
    backbone, max_tokens = supernets["b"].backbone, supernets["b"].max_tokens
    supernets["b"] = TextModel(backbone, cased, None, max_tokens)
    with pytest.raises(UserError, match="--supernet: b and a have different vocabularies"):
        average_supernets(supernets)


def test_the_job_packages_an_average(tmp_path):
    for name in "ab":
        small_supernet(fit_size=24).save(tmp_path / name)
    both = f"{tmp_path}/a,{tmp_path}/b"
    package(PackageSupernetOptions(supernet=both, output_dir=str(tmp_path / "c")))
    assert (tmp_path / "c" / "supernet.safetensors").stat().st_size > 1000
    for wrong in (f"{both},{tmp_path}/a", f"{tmp_path}/a,"):
        with pytest.raises(UserError, match="expected different folders a,b"):
            package(PackageSupernetOptions(supernet=wrong, output_dir=str(tmp_path / "c")))


def _inputs(model, texts):
    encoded = model.tokenizer.encode(texts)[0]
    mask = np.asarray([[1] * len(row) for row in encoded.to_list()], np.int32)
    return {
        "token_ids": encoded.to_tensor().numpy(),
        "segment_ids": np.zeros_like(mask),
        "padding_mask": mask,
    }


def test_the_packaged_weights_are_small_and_have_their_hash():
    path = Path(pretrained_supernet.__file__).parent / PRETRAINED / "supernet.safetensors"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256
    assert path.stat().st_size < 15e6


def test_the_packaged_supernet_has_the_default_sizes(pretrained):
    architecture = pretrained.backbone.architecture
    assert (architecture.hidden_size, architecture.num_layers, architecture.num_heads) == (
        192,
        6,
        12,
    )
    assert (architecture.embedding_size, pretrained.backbone.fit_size) == (128, 384)
    assert architecture == architecture.supernet()


def test_its_outputs_on_ten_sentences_are_the_recorded_ones(pretrained):
    """Recorded when the weights were packaged."""
    with np.load(_STORED) as stored:
        assert len(stored["sentences"]) == 10
        for sentence, pooled in zip(stored["sentences"].tolist(), stored["pooled"], strict=True):
            outputs = pretrained.backbone(_inputs(pretrained, [sentence]))
            np.testing.assert_allclose(outputs["pooled"][0], pooled, rtol=0, atol=1e-4)


@pytest.mark.parametrize("damage", ["truncated", "changed", "missing"])
def test_a_damaged_package_is_named(tmp_path, monkeypatch, damage):
    sha256 = package_supernet(small_supernet(fit_size=24), tmp_path)
    path = tmp_path / "supernet.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content[:-100] if damage == "truncated" else content)
    if damage == "missing":
        path.unlink()
    with pytest.raises(UserError, match="--supernet=pretrained: .*reinstall"):
        _packaged(monkeypatch, tmp_path, sha256)


def test_another_name_is_a_folder(tmp_path):
    small_supernet(fit_size=24).save(tmp_path / "mine")
    assert load_supernet(str(tmp_path / "mine")).backbone.fit_size == 24
    with pytest.raises(UserError, match="elsewhere holds no saved model"):
        load_supernet(str(tmp_path / "elsewhere"))


def test_files_that_are_not_weights_are_few():
    folder = Path(pretrained_supernet.__file__).parent / PRETRAINED
    names = {path.name for path in folder.iterdir()} - {"__pycache__"}
    assert names == {"README.md", "supernet.safetensors", "tokenizer_config.json", "vocab.txt"}
