import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_efficientbert.layers.layer_norm import layer_norm

_WIDTH = 24


@pytest.fixture(params=[(7, _WIDTH), (3, 5, _WIDTH)])
def case(request):
    """(layer, x, upstream gradient) with random values, far from the initial ones."""
    draws = np.random.default_rng(0)
    layer = layer_norm(1e-5, keras.DTypePolicy("float32"))
    layer.build(request.param)
    layer.gamma.assign(draws.normal(1, 0.5, _WIDTH))
    layer.beta.assign(draws.normal(0, 0.5, _WIDTH))
    return layer, draws.normal(3, 2, request.param), draws.normal(size=request.param)


def _in_float64(layer, x):
    gamma, beta = layer.gamma.numpy().astype(np.float64), layer.beta.numpy().astype(np.float64)
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        variables = [x, tf.constant(gamma), tf.constant(beta)]
        tape.watch(variables)
        mean, variance = tf.nn.moments(x, -1, keepdims=True)
        y = (x - mean) / tf.sqrt(variance + 1e-5) * variables[1] + variables[2]
    return tape, y, variables


def test_outputs_and_gradients_are_those_in_float64(case):
    layer, x, upstream = case
    narrow = tf.constant(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(narrow)
        y = layer(narrow, training=True)
    gradients = tape.gradient(
        y, [narrow, layer.gamma.value, layer.beta.value], tf.constant(upstream, tf.float32)
    )
    their_tape, expected, variables = _in_float64(layer, x)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    for one, other in zip(
        gradients, their_tape.gradient(expected, variables, tf.constant(upstream)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_training_and_inference_normalize_alike(case):
    layer, x, _ = case
    np.testing.assert_allclose(layer(x, training=True), layer(x), rtol=1e-5, atol=1e-6)


def test_bfloat16_inputs_are_normalized_in_float32(case):
    _, x, _ = case
    layer = layer_norm(1e-5, keras.DTypePolicy("mixed_bfloat16"))
    layer.build(x.shape)
    x = tf.cast(x, tf.bfloat16)
    y = layer(x, training=True)
    assert y.dtype == tf.bfloat16
    np.testing.assert_array_equal(y, layer(x))
