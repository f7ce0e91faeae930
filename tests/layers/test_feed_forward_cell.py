import numpy as np
import pytest

from tests.layers.numpy_layers import evaluate_formula, layer_norm, value_of
from tests.models.small_models import randomize
from tf_efficientbert.architecture import CellSpec
from tf_efficientbert.layers import FeedForwardCell

_LARGE = "linear4_1(gelu(linear4_1(x,wb1)),wb2)"
_SMALLER = [
    "linear4_1(gelu(linear4_1(x,wb1)),wb2)",
    "linear1_1(tanh(linear1_1(x,wb1)),wb2)",
    "linear2_2(relu(mul(linear2_2(x,wb1),x)),wb2)",
    "leaky_relu(linear3_4(gelu(linear3_4(max(x,tanh(x)),wb1)),wb2))",
]


def _cell(text, **changes):
    layer = FeedForwardCell(text, **{"hidden_size": 12, "ffn_width": 14, **changes})
    layer.build((None, None, 12))
    return layer


def _x():
    return np.random.default_rng(1).normal(size=(2, 3, 12)).astype("float32")


@pytest.mark.parametrize("epsilon", [1e-5, 0.1])
def test_each_stacked_network_is_a_formula_a_residual_and_a_layer_norm(epsilon):
    layer = randomize(_cell("linear3_2(gelu(linear3_2(x,wb1)),wb2)", layer_norm_epsilon=epsilon))
    assert [ffn.kernel_1.shape for ffn in layer.feed_forwards] == [(12, 7)] * 3
    expected = _x().astype(float)
    for ffn in layer.feed_forwards:
        wb1 = value_of(ffn.kernel_1), value_of(ffn.bias_1)
        wb2 = value_of(ffn.kernel_2), value_of(ffn.bias_2)
        update = evaluate_formula("linear(gelu(linear(x,wb1)),wb2)", expected, wb1, wb2, "slice")
        norm = value_of(ffn.layer_norm.gamma), value_of(ffn.layer_norm.beta)
        expected = layer_norm(expected + update, *norm, epsilon)
    np.testing.assert_allclose(layer(_x()), expected, atol=1e-5)


@pytest.mark.parametrize("text", _SMALLER)
def test_a_call_with_a_smaller_cell_equals_a_cell_with_sliced_weights(text):
    large, small = randomize(_cell(_LARGE)), _cell(text)
    for ours, theirs in zip(small.feed_forwards, large.feed_forwards, strict=False):
        width = ours.inner_width
        ours.kernel_1.assign(theirs.kernel_1[:, :width])
        ours.bias_1.assign(theirs.bias_1[:width])
        ours.kernel_2.assign(theirs.kernel_2[:width])
        ours.bias_2.assign(theirs.bias_2)
        ours.layer_norm.set_weights(theirs.layer_norm.get_weights())
    called = large(_x(), cell=CellSpec.from_text(text))
    np.testing.assert_allclose(called, small(_x()), atol=1e-6)


@pytest.mark.parametrize("seed", [None, np.array([3, 4], np.int32)])
def test_a_call_without_a_cell_uses_the_layer_s_own(seed):
    layer = randomize(_cell(_LARGE))
    np.testing.assert_array_equal(
        layer(_x(), dropout_seed=seed), layer(_x(), cell=layer.cell, dropout_seed=seed)
    )


@pytest.mark.parametrize(
    "text", ["linear3_2(gelu(linear3_2(x,wb1)),wb2)", "linear2_1(gelu(linear2_1(x,wb1)),wb2)"]
)
def test_a_deeper_or_wider_cell_does_not_fit(text):
    layer = _cell("linear2_2(gelu(linear2_2(x,wb1)),wb2)")
    with pytest.raises(ValueError, match="does not fit into the weights of linear2_2") as caught:
        layer(_x(), cell=CellSpec.from_text(text))
    assert text in str(caught.value)


def test_stacked_networks_drop_different_elements():
    layer = _cell("linear2_1(gelu(linear2_1(x,wb1)),wb2)", dropout=0.5)
    for ffn in layer.feed_forwards:  # each network now adds ones, except where dropout drops them
        ffn.kernel_1.assign(np.zeros((12, 14)))
        ffn.kernel_2.assign(np.zeros((14, 12)))
        ffn.bias_2.assign(np.ones(12))
        ffn.layer_norm = lambda x: x
    seed = np.array([3, 4], np.int32)
    added = np.asarray(layer(_x(), dropout_seed=seed, training=True)) - _x()
    # Multiples of 1 / (1 - 0.5): 0, 1 or 2. With one mask for both networks, 1 would be missing.
    assert set(np.round(added, 3).ravel()) == {0.0, 2.0, 4.0}
