"""Batches from a server and odd texts in the graph of the signatures."""

import numpy as np
import pytest
import tensorflow as tf

from tests.export.long_models import BUCKETS, long_model
from tests.models.small_text_models import TASKS
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.export.buckets import buckets_for
from tf_efficientbert.export.signature import SERVED_TOKENS
from tf_efficientbert.export.signatures import signatures
from tf_efficientbert.export.tf_example import as_example
from tf_efficientbert.export.token_batch import padded_batch, received_batch

_ODD = {
    "empty": b"",
    "spaces": b" \t\n ",
    "megabyte of words": b"word1 word2 " * 87_382,
    "megabyte word": b"x" * 2**20,
    "invalid UTF-8": b"word1 \xff\xfe word2 \xe6\x9d",
    "surrogate": b"word1 \xed\xa0\x80 word2",
    "NUL": b"word1\0word2 \0 word3",
    "emoji": "word1 \U0001f600\U0001f469\u200d\U0001f680 word2".encode(),
    "CJK": "東京 word1 日本語".encode(),
    "control": b"\x01\x02\x7f",
    "plain": b"word1 word2",
}


def test_text_is_cut_at_the_last_bucket():
    assert buckets_for(16) == (16,)
    assert buckets_for(64) == (64,)
    assert buckets_for(65) == (64, 65)
    assert buckets_for(128) == (64, 128)
    assert buckets_for(512) == (64, 128, 384, 512)


@pytest.fixture(scope="module")
def asked():
    """The signatures of a model of each task, as graphs."""
    graphs = {}
    for kind in TASKS:
        model = long_model(kind)
        found = signatures(model).items()
        graphs[kind] = (
            model,
            {name: tf.function(s.function, input_signature=s.inputs) for name, s in found},
        )
    return graphs


def _tokens(ids, mask=None, types=None):
    ids = tf.constant(ids, tf.int32)
    mask = tf.cast(ids != 0, tf.int32) if mask is None else tf.constant(mask, tf.int32)
    types = tf.zeros_like(ids) if types is None else tf.constant(types, tf.int32)
    return {"input_word_ids": ids, "input_mask": mask, "input_type_ids": types}


@pytest.mark.parametrize(
    ("words", "expected"),
    [((0,), 64), ((62, 1), 64), ((1, 63), 128), ((126,), 128), ((127, 1), 152), ((10_000,), 152)],
)
def test_a_batch_of_text_is_padded_to_the_smallest_bucket_that_holds_it(asked, words, expected):
    model, _ = asked["classification"]
    texts = ["word1 " * count for count in words]
    batch = padded_batch(model, *model.tokenizer.encode(texts, max_tokens=model.max_tokens))
    assert {tuple(part.shape) for part in batch} == {(len(words), expected)}
    lengths = [min(2 + count, BUCKETS[-1]) for count in words]
    assert batch[1].numpy().sum(axis=1).tolist() == lengths


@pytest.mark.parametrize("given", [1, 64, 100, 128, 152, 200])
@pytest.mark.parametrize(("real", "expected"), [(0, 64), (64, 64), (65, 128), (129, 152)])
def test_token_ids_of_any_width_are_refit_to_the_bucket_of_their_mask(asked, given, real, expected):
    model, _ = asked["classification"]
    ids = np.zeros((2, given), np.int32)
    ids[0, :real] = 5
    batch = received_batch(model, *_tokens(ids).values())
    width = expected if given >= real else BUCKETS[given > 64]
    assert {tuple(part.shape) for part in batch} == {(2, width)}
    kept = min(real, given, BUCKETS[-1])
    assert batch[0].numpy().tolist() == [[5] * kept + [0] * (width - kept), [0] * width]


@pytest.mark.parametrize("kind", TASKS)
def test_token_ids_padded_by_a_server_give_the_same_logits(asked, kind):
    model, graphs = asked[kind]
    texts = ("word1 word2", "word3", "word4 word5 word6 word7 " * 20, "")
    examples = Examples(texts, texts[::-1] if model.task.pair else None, None)
    encoded = model.encode(examples)
    expected = model.logits(encoded)
    rows = []
    for i in range(len(examples)):
        batch = encoded.padded(np.array([i]), int(encoded.lengths[i]))
        rows.append({served: batch[ours][0] for ours, served in SERVED_TOKENS.items()})
        alone = {name: tf.constant(row[None]) for name, row in rows[-1].items()}
        answer = graphs["tokens"](**alone)["logits"]
        np.testing.assert_allclose(answer, expected[[i]], rtol=0, atol=1e-5)
    # TF Serving pads a row with the first element of its tensor: [CLS], and a mask of 1.
    longest = max(encoded.lengths)
    filled = {
        name: np.stack(
            [np.pad(r[name], (0, longest - len(r[name])), constant_values=r[name][0]) for r in rows]
        )
        for name in rows[0]
    }
    assert filled["input_mask"].all()
    answers = graphs["tokens"](**{name: tf.constant(v) for name, v in filled.items()})["logits"]
    np.testing.assert_allclose(answers, expected, rtol=0, atol=1e-5)


def test_masked_ids_do_not_matter(asked):
    _, graphs = asked["classification"]
    clean = graphs["tokens"](**_tokens([[2, 7, 8, 3, 0, 0]]))["logits"]
    mask = [[1, 1, 1, 1, 0, 0]]
    dirty = graphs["tokens"](**_tokens([[2, 7, 8, 3, 9, 11]], mask, [[0, 0, 0, 0, 1, 1]]))["logits"]
    np.testing.assert_allclose(clean, dirty, rtol=0, atol=1e-6)


def test_token_ids_past_the_last_bucket_are_cut(asked):
    _, graphs = asked["classification"]
    ids = np.random.default_rng(0).integers(4, 40, (1, 300))
    answers = [graphs["tokens"](**_tokens(ids[:, :n]))["logits"] for n in (BUCKETS[-1], 300)]
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (_tokens([[2, 40, 3]]), "input_word_ids must be from 0 to 39"),
        (_tokens([[2, -1, 3]]), "input_word_ids must be from 0 to 39"),
        (_tokens([[2, 7, 3]], types=[[0, 2, 0]]), "input_type_ids must be from 0 to 1"),
        (_tokens([[2, 7, 3]], [[1]]), "input_mask must have the shape of input_word_ids"),
        (_tokens([[2, 7, 3]], types=[[0], [0]]), "input_type_ids must have the shape"),
    ],
)
def test_invalid_token_ids_are_refused(asked, tokens, message):
    _, graphs = asked["classification"]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        graphs["tokens"](**tokens)


def _ask(graphs, kind, signature, texts):
    names = ("text", "second_text")[: 2 if kind == "pair" else 1]
    if signature == "serving_default":
        return graphs[signature](*[tf.constant(texts)] * len(names))["logits"].numpy()
    rows = [as_example(dict.fromkeys(names, text)).SerializeToString() for text in texts]
    return graphs[signature](tf.constant(rows))["logits"].numpy()


@pytest.mark.parametrize("signature", ["serving_default", "serving_examples"])
@pytest.mark.parametrize("kind", ["classification", "pair"])
def test_odd_text_gets_the_same_answer_alone_and_in_a_batch(asked, kind, signature):
    _, graphs = asked[kind]
    batch = _ask(graphs, kind, signature, list(_ODD.values()))
    assert np.isfinite(batch).all()
    for row, text in zip(batch, _ODD.values(), strict=True):
        alone = _ask(graphs, kind, signature, [text])
        np.testing.assert_allclose(alone[0], row, rtol=0, atol=1e-5)


def test_logits_of_odd_text_equal_keras(asked):
    model, graphs = asked["classification"]
    texts = [text for text in _ODD.values() if text == text.decode("utf-8", "ignore").encode()]
    assert len(texts) == len(_ODD) - 2
    expected = model.logits(model.encode(Examples(tuple(t.decode() for t in texts), None, None)))
    answers = _ask(graphs, "classification", "serving_default", texts)
    np.testing.assert_allclose(answers, expected, rtol=0, atol=1e-5)


def test_invalid_examples_and_missing_texts_are_refused(asked):
    _, graphs = asked["pair"]
    half = as_example({"text": "word1"}).SerializeToString()
    with pytest.raises(tf.errors.InvalidArgumentError, match="second_text"):
        graphs["serving_examples"](tf.constant([half]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="Could not parse"):
        graphs["classify"](tf.constant([b"no example"]))


def test_an_empty_batch_gives_an_empty_output(asked):
    _, graphs = asked["classification"]
    assert graphs["serving_default"](tf.constant([], tf.string))["logits"].shape == (0, 3)
    assert graphs["classify"](tf.constant([], tf.string))["classes"].shape == (0, 3)
