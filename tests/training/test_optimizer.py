import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.tiny_training import tiny_pair
from tf_efficientbert.training.optimizer import build_optimizer
from tf_efficientbert.training.schedule import LinearWarmupDecay

_RATE, _DECAY = 0.01, 0.5


@pytest.fixture(scope="module")
def before_and_after():
    """{path: (value, value after a step with zero gradients)} for a student with head."""
    _, model = tiny_pair()
    variables = model.trainable_variables
    # The schedule uses the middle of the only step: the rate is 0.5 / 0.9 of the peak.
    optimizer = build_optimizer(variables, _RATE * 0.9 / 0.5, 1, _DECAY)
    before = [variable.numpy() for variable in variables]
    optimizer.apply([tf.zeros_like(variable.value) for variable in variables], variables)
    return {v.path: (b, v.numpy()) for v, b in zip(variables, before, strict=True)}


def _named(values, *endings):
    return {path: pair for path, pair in values.items() if path.rpartition("/")[2] in endings}


def test_biases_and_layer_norm_weights_are_not_decayed(before_and_after):
    kept = _named(before_and_after, "bias", "bias_1", "bias_2", "gamma", "beta")
    assert len(kept) > 20
    for before, after in kept.values():
        np.testing.assert_array_equal(after, before)


def test_kernels_and_tables_are_decayed(before_and_after):
    kept = _named(before_and_after, "bias", "bias_1", "bias_2", "gamma", "beta")
    decayed = {path: pair for path, pair in before_and_after.items() if path not in kept}
    names = {path.rpartition("/")[2] for path in decayed}
    tables = {"token_table", "segment_table", "position_table"}
    assert names == {"kernel", "kernel_1", "kernel_2", *tables}
    for before, after in decayed.values():
        assert before.ndim == 2
        np.testing.assert_allclose(after, before * (1 - _RATE * _DECAY), rtol=1e-5)


def test_matrices_are_decayed_and_vectors_are_not(before_and_after):
    for path, (before, after) in before_and_after.items():
        assert np.any(before != after) == (before.ndim == 2), path


def test_an_optimizer_is_built_before_its_first_step():
    variables = tiny_pair()[1].trainable_variables
    optimizer = build_optimizer(variables, 1e-3, 10)
    assert optimizer.built
    assert len(optimizer.variables) >= 2 * len(variables)


@pytest.mark.parametrize("compiled", [False, True])
def test_the_fused_update_equals_that_of_keras(compiled):
    """Five steps with random gradients and a decaying rate, with and without weight decay."""
    draws = np.random.default_rng(3)
    start = {"kernel": draws.normal(size=(7, 5)), "bias": draws.normal(size=5)}
    start = {name: value.astype(np.float32) for name, value in start.items()}
    gradients = [
        [tf.constant(draws.normal(size=v.shape), tf.float32) for v in start.values()]
        for _ in range(5)
    ]

    def trained(make):
        variables = [keras.Variable(value, name=name) for name, value in start.items()]
        optimizer = make(variables)
        step = tf.function(lambda g: optimizer.apply(g, variables)) if compiled else None
        for each in gradients:
            step(each) if step else optimizer.apply(each, variables)
        return [v.numpy() for v in (*variables, *optimizer.variables)]

    def keras_own(variables):
        optimizer = keras.optimizers.AdamW(
            LinearWarmupDecay(_RATE, 5), weight_decay=_DECAY, epsilon=1e-8
        )
        optimizer.exclude_from_weight_decay(var_list=[variables[1]])
        optimizer.build(variables)
        return optimizer

    fused = trained(lambda variables: build_optimizer(variables, _RATE, 5, _DECAY))
    for value, expected in zip(fused, trained(keras_own), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-6)  # for weights up to 3
