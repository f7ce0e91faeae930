import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.numpy_layers import layer_norm, value_of, weights_of
from tests.models.small_models import randomize
from tf_efficientbert.layers import BertEmbedding, TrigramEmbedding

_SIZES = {"vocabulary_size": 20, "hidden_size": 6, "max_positions": 8}
_IDS = np.array([[5, 9, 3, 7], [11, 2, 0, 0]], np.int32)
_SEGMENTS = np.array([[0, 0, 1, 1], [0, 1, 0, 0]], np.int32)
_KINDS = [(BertEmbedding, {}), (TrigramEmbedding, {"embedding_size": 4})]


def _trigram(**changes):
    return TrigramEmbedding(embedding_size=4, **{**_SIZES, **changes})


def _expected(layer, tokens, epsilon=1e-5):
    sums = tokens + value_of(layer.segment_table)[_SEGMENTS] + value_of(layer.position_table)[:4]
    norm = layer.layer_norm
    return layer_norm(sums, value_of(norm.gamma), value_of(norm.beta), epsilon)


@pytest.mark.parametrize("epsilon", [1e-5, 0.1])
def test_the_bert_embedding_sums_tokens_segments_and_positions(epsilon):
    layer = BertEmbedding(layer_norm_epsilon=epsilon, **_SIZES)
    layer.build()
    randomize(layer)
    expected = _expected(layer, value_of(layer.token_table)[_IDS], epsilon)
    np.testing.assert_allclose(layer(_IDS, _SEGMENTS), expected, atol=1e-5)


def test_the_trigram_embedding_joins_next_current_and_previous_in_this_order():
    layer = _trigram()
    layer.build()
    randomize(layer)
    current = value_of(layer.token_table)[_IDS]
    following, preceding = np.zeros_like(current), np.zeros_like(current)
    following[:, :-1] = current[:, 1:]
    preceding[:, 1:] = current[:, :-1]
    kernel, bias = weights_of(layer.projection)
    tokens = np.concatenate([following, current, preceding], axis=-1) @ kernel + bias
    np.testing.assert_allclose(layer(_IDS, _SEGMENTS), _expected(layer, tokens), atol=1e-5)


def test_a_single_token_has_zeros_on_both_sides():
    layer = _trigram()
    layer.build()
    kernel, bias = weights_of(layer.projection)
    embedded = value_of(layer.embed_tokens(np.array([[5]], np.int32)))
    expected = value_of(layer.token_table)[5] @ kernel[4:8] + bias
    np.testing.assert_allclose(embedded[0, 0], expected, atol=1e-6)


def test_the_padding_row_starts_at_zero_and_the_others_do_not():
    layer = _trigram()
    layer.build()
    assert not np.any(layer.token_table[0])
    assert np.all(np.any(layer.token_table[1:], axis=1))


def _gradient(layer, ids):
    weights = np.random.default_rng(0).normal(size=(*ids.shape, 6)).astype("float32")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(ids, np.zeros_like(ids)) * weights)
    return tape.gradient(loss, [v.value for v in layer.trainable_variables])


def test_the_padding_row_gets_no_gradient_and_the_rows_in_use_do():
    layer = _trigram()
    layer.build()
    position = [v.path for v in layer.trainable_variables].index(layer.token_table.path)
    table = tf.convert_to_tensor(_gradient(layer, _IDS)[position]).numpy()
    assert not np.any(table[0])
    assert sorted(np.flatnonzero(np.any(table, axis=1))) == sorted(set(_IDS.ravel()) - {0})


def test_the_padding_row_is_still_zero_after_adamw_with_weight_decay():
    layer = _trigram()
    layer.build()
    before = value_of(layer.token_table)
    optimizer = keras.optimizers.AdamW(learning_rate=0.1, weight_decay=0.1)
    optimizer.build(layer.trainable_variables)
    for _ in range(5):
        optimizer.apply(_gradient(layer, _IDS))
    after = value_of(layer.token_table)
    assert not np.any(after[0])
    assert np.all(np.any(after[1:] != before[1:], axis=1))


@pytest.mark.parametrize(("kind", "sizes"), _KINDS)
def test_a_sequence_may_have_at_most_max_positions_tokens(kind, sizes):
    layer = kind(**_SIZES, **sizes)
    ids = np.ones((1, 9), np.int32)
    assert layer(ids[:, :8], ids[:, :8] * 0).shape == (1, 8, 6)
    with pytest.raises(ValueError, match="sequences of 9 tokens do not fit max_positions=8"):
        layer(ids, ids * 0)


@pytest.mark.parametrize(("kind", "sizes"), _KINDS)
def test_embeddings_are_dropped_in_training_only(kind, sizes):
    layer = kind(dropout=0.5, **_SIZES, **sizes)
    seed = np.array([1, 2], np.int32)
    at_rest = value_of(layer(_IDS, _SEGMENTS, dropout_seed=seed))
    dropped = value_of(layer(_IDS, _SEGMENTS, dropout_seed=seed, training=True))
    kept = dropped != 0
    assert 0 < kept.mean() < 1
    np.testing.assert_allclose(dropped[kept], at_rest[kept] * 2, rtol=1e-6)
