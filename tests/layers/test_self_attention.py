import keras
import numpy as np
import pytest

from tests.layers.numpy_layers import attend, layer_norm, value_of, weights_of
from tests.models.small_models import randomize
from tf_efficientbert.layers import SelfAttention
from tf_efficientbert.layers.self_attention import attention_bias

_MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32)


def _layer(**changes):
    layer = SelfAttention(**{"hidden_size": 12, "num_heads": 3, **changes})
    layer.build((None, None, 12))
    return randomize(layer)


def _x(tokens=5):
    return np.random.default_rng(3).normal(size=(2, tokens, 12)).astype("float32")


@pytest.mark.parametrize("epsilon", [1e-5, 0.1])
def test_output_and_scores_are_those_of_the_plain_formulas(epsilon):
    layer, x = _layer(layer_norm_epsilon=epsilon), _x()
    output, scores, _ = layer(x, attention_bias(_MASK))
    projections = (layer.query, layer.key, layer.value, layer.output_projection)
    update, expected_scores = attend(x.astype(float), _MASK, *map(weights_of, projections), 3)
    norm = value_of(layer.layer_norm.gamma), value_of(layer.layer_norm.beta)
    np.testing.assert_allclose(output, layer_norm(x + update, *norm, epsilon), atol=1e-5)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-5, rtol=1e-6)


def test_attention_is_that_of_keras_multi_head_attention():
    layer, x = _layer(), _x()
    theirs = keras.layers.MultiHeadAttention(num_heads=3, key_dim=4)
    theirs.build(x.shape, x.shape)
    by_head = [(12, 3, 4), (3, 4)] * 3 + [(3, 4, 12), (12,)]
    ours = [
        weight
        for name in ("query", "key", "value", "output_projection")
        for weight in getattr(layer, name).get_weights()
    ]
    theirs.set_weights([weight.reshape(shape) for weight, shape in zip(ours, by_head, strict=True)])
    update = theirs(x, x, attention_mask=_MASK[:, None, :].astype(bool))
    output, *_ = layer(x, attention_bias(_MASK))
    np.testing.assert_allclose(output, layer.layer_norm(x + update), atol=1e-5)


def test_queries_keys_and_values_are_the_projections_of_the_input():
    layer, x = _layer(), _x()
    flat = x.reshape(10, 12)
    for given in (x, flat):
        *_, projections = layer(given, attention_bias(_MASK))
        for vectors, dense in zip(projections, (layer.query, layer.key, layer.value), strict=True):
            kernel, bias = weights_of(dense)
            assert vectors.shape == given.shape
            expected = (flat.astype(float) @ kernel + bias).reshape(given.shape)
            np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_the_bias_is_zero_for_real_tokens_and_minus_10_000_for_padding():
    assert attention_bias(_MASK)[:, 0, 0].numpy().tolist() == [[0] * 5, [0] * 3 + [-10_000] * 2]


def test_values_at_padding_do_not_change_real_tokens():
    layer, x = _layer(), _x()
    other = x.copy()
    other[1, 3:] += 5.0
    outputs = [layer(value, attention_bias(_MASK))[0] for value in (x, other)]
    np.testing.assert_allclose(outputs[0][1, :3], outputs[1][1, :3], atol=1e-6)
    np.testing.assert_array_equal(outputs[0][0], outputs[1][0])


@pytest.mark.filterwarnings("ignore:You are using a softmax over axis -1")
def test_a_single_token_attends_only_to_itself():
    layer, x = _layer(), _x(tokens=1)
    output, scores, _ = layer(x, attention_bias(np.ones((2, 1), np.int32)))
    update = layer.output_projection(layer.value(x))
    np.testing.assert_allclose(output, layer.layer_norm(x + update), atol=1e-6)
    assert scores.shape == (2, 3, 1, 1)


def test_probabilities_and_output_are_dropped_in_training_but_never_the_scores():
    layer, x = _layer(dropout=0.5), _x()
    call = {"dropout_seed": np.array([1, 2], np.int32), "training": True}
    output, scores, _ = layer(x, attention_bias(_MASK), **call)
    at_rest, scores_at_rest, _ = layer(x, attention_bias(_MASK))
    assert np.abs(output - at_rest).max() > 0.1
    np.testing.assert_array_equal(scores, scores_at_rest)


def test_a_width_not_divisible_by_the_heads_is_an_error():
    with pytest.raises(ValueError, match="hidden_size=12 is not divisible by 5 heads"):
        SelfAttention(hidden_size=12, num_heads=5)
