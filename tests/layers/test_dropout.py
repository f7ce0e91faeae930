import itertools

import numpy as np
import pytest
import tensorflow as tf

from tf_efficientbert.layers import Dropout
from tf_efficientbert.layers.dropout import fold_in

_ONES = np.ones((400, 500), "float32")
_SEED = np.array([7, 1], np.int32)


def _mask(seed, rate=0.1):
    return Dropout(rate)(_ONES, np.asarray(seed, np.int32), training=True).numpy() != 0


def _is_about(share, expected, size):
    return abs(share - expected) < 5 * np.sqrt(expected * (1 - expected) / size)


def test_the_same_seed_gives_the_same_mask_in_another_layer_object():
    np.testing.assert_array_equal(_mask(_SEED), _mask(_SEED))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_of_zeros_is_the_rate_and_the_rest_is_scaled_up(rate):
    values = Dropout(rate)(_ONES, _SEED, training=True).numpy()
    assert _is_about(np.mean(values == 0), rate, values.size)
    np.testing.assert_allclose(values[values != 0], 1 / (1 - rate), rtol=1e-6)


@pytest.mark.parametrize(
    "other",
    [[7, 2], [8, 1], [1, 7], [-7, 1], [7, 2**31 - 1], fold_in(_SEED, 0), fold_in(_SEED, 1)],
    ids=str,
)
def test_masks_of_different_seeds_are_independent(other):
    both_dropped = ~_mask(_SEED, 0.5) & ~_mask(other, 0.5)
    assert _is_about(both_dropped.mean(), 0.25, both_dropped.size)


def test_folded_seeds_differ_for_every_layer_and_step():
    steps = [np.array([seed, step], np.int32) for seed in (0, 1) for step in range(4)]
    with np.errstate(over="ignore"):
        seeds = [
            tuple(np.asarray(fold_in(fold_in(step, layer), part)))
            for step, layer, part in itertools.product(steps, range(30), range(5))
        ]
    assert len(set(seeds)) == len(steps) * 30 * 5


def test_fold_in_keeps_none():
    assert fold_in(None, 3) is None


def test_without_a_seed_each_call_draws_another_mask():
    layer = Dropout(0.5)
    first, second = (layer(_ONES, training=True).numpy() for _ in range(2))
    assert np.any(first != second)


@pytest.mark.parametrize("seed", [None, _SEED])
def test_nothing_is_dropped_outside_training_or_at_rate_zero(seed):
    np.testing.assert_array_equal(Dropout(0.5)(_ONES, seed), _ONES)
    np.testing.assert_array_equal(Dropout(0.0)(_ONES, seed, training=True), _ONES)


def test_a_compiled_function_draws_the_mask_of_its_seed_argument():
    layer = Dropout(0.5)
    compiled = tf.function(lambda x, seed: layer(x, seed, training=True))
    seeds = [np.array([7, step], np.int32) for step in (1, 2)]
    masks = [compiled(_ONES, tf.constant(seed)).numpy() != 0 for seed in seeds]
    assert compiled.experimental_get_tracing_count() == 1
    for seed, mask in zip(seeds, masks, strict=True):
        np.testing.assert_array_equal(mask, _mask(seed, 0.5))
    assert np.any(masks[0] != masks[1])


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5])
def test_a_rate_outside_0_to_1_is_an_error(rate):
    with pytest.raises(ValueError, match=rf"must be in \[0, 1\), but got {rate}"):
        Dropout(rate)
