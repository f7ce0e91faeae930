"""Cells chosen by a tensor inside the graph equal cells passed to the call."""

import dataclasses
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import tensorflow as tf

from tests.models.small_models import random_inputs, randomize, small_architecture, small_task_model
from tf_efficientbert.architecture import CellSpec
from tf_efficientbert.layers import FeedForwardCell

_WIDTH = 12
_FORMULAS = [
    "linear4_1(gelu(linear4_1(x,wb1)),wb2)",
    "linear4_1(relu(mul(linear4_1(x,wb1),x)),wb2)",  # x is cut to the inner width
    "leaky_relu(linear4_1(swish(linear4_1(max(x,elu(x)),wb1)),wb2))",
]
_ALL = tuple(product((1, 2, 3, 4), repeat=2))
_SEED = np.array([3, 4], np.int32)


def _cell(text, **changes):
    layer = FeedForwardCell(text, **{"hidden_size": _WIDTH, "ffn_width": _WIDTH, **changes})
    layer.build((None, None, _WIDTH))
    return randomize(layer)


def _x():
    return tf.constant(np.random.default_rng(1).normal(size=(2, 3, _WIDTH)).astype("float32"))


def _sized(cell, stack, denominator):
    return dataclasses.replace(cell, stack=stack, ratio=Fraction(1, denominator))


def _value_and_gradients(variables, call):
    with tf.GradientTape() as tape:
        value = call()
        # A plain sum after a LayerNorm is constant.
        loss = tf.reduce_sum(value * tf.range(_WIDTH, dtype=tf.float32))
    sources = [variable.value for variable in variables]
    zero = tf.UnconnectedGradients.ZERO
    return value, tape.gradient(loss, sources, unconnected_gradients=zero)


@pytest.fixture(scope="module", params=_FORMULAS, ids=["ordinary", "cut", "outer"])
def compared(request):
    """(layer, tracing count, {(stack, denominator): two pairs of value and gradients}).

    The first pair is from one graph for all choices, the second from a call with the cell.
    """
    layer = _cell(request.param, dropout=0.5)
    variables = layer.trainable_variables

    def chosen(choice):
        arguments = {"choice": choice, "dropout_seed": _SEED, "training": True}
        return _value_and_gradients(variables, lambda: layer(_x(), **arguments))

    signature = [tf.TensorSpec([2], tf.int32)]
    graph = tf.function(chosen, input_signature=signature, autograph=False)
    pairs = {}
    for size in _ALL:
        arguments = {"cell": _sized(layer.cell, *size), "dropout_seed": _SEED, "training": True}

        def named(arguments=arguments):
            return layer(_x(), **arguments)

        pairs[size] = graph(tf.constant(size)), _value_and_gradients(variables, named)
    return layer, graph.experimental_get_tracing_count(), pairs


def test_a_choice_gives_the_same_output_as_the_cell_including_dropout(compared):
    _, _, pairs = compared
    for (value, _), (expected, _) in pairs.values():
        np.testing.assert_allclose(value, expected, atol=1e-6)
    values = [value.numpy().tobytes() for (value, _), _ in pairs.values()]
    assert len(set(values)) == len(_ALL)


def test_a_choice_gives_the_same_gradients_as_the_cell(compared):
    _, _, pairs = compared
    for (_, gradients), (_, expected) in pairs.values():
        for gradient, other in zip(gradients, expected, strict=True):
            np.testing.assert_allclose(gradient, other, rtol=1e-5, atol=1e-5)


def test_only_weights_used_by_a_choice_have_nonzero_gradients(compared):
    layer, _, pairs = compared
    for (stack, denominator), ((_, gradients), _) in pairs.items():
        by_path = dict(zip((v.path for v in layer.trainable_variables), gradients, strict=True))
        width = _WIDTH // denominator
        for j, network in enumerate(layer.feed_forwards):
            kernels = by_path[network.kernel_1.path], tf.transpose(by_path[network.kernel_2.path])
            for kernel in kernels:
                used = kernel[:, :width].numpy()
                assert np.any(used, axis=0).sum() >= (width // 2 if j < stack else 0)
                assert j < stack or not used.any()
                assert not kernel[:, width:].numpy().any()


def test_one_trace_serves_all_stacks_and_ratios(compared):
    assert compared[1] == 1


def test_a_choice_works_outside_a_graph():
    layer = _cell(_FORMULAS[1])
    expected = layer(_x(), cell=_sized(layer.cell, 3, 2))
    np.testing.assert_allclose(layer(_x(), choice=np.array([3, 2], np.int32)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("own", "changes", "chosen", "taken"),
    [
        # W2 takes the inner width, but x has 12: with slicing, 1 and 1/2 of 36 are too wide.
        ("linear2_3(relu(mul(linear2_3(x,wb1),x)),wb2)", {"ffn_width": 36}, 1, 3),
        ("linear2_3(relu(mul(linear2_3(x,wb1),x)),wb2)", {"ffn_width": 36}, 2, 3),
        ("linear2_3(relu(mul(linear2_3(x,wb1),x)),wb2)", {"ffn_width": 36}, 4, 4),
        # The weights have half of the inner channels.
        ("linear2_2(gelu(linear2_2(x,wb1)),wb2)", {}, 1, 2),
        # With padding, x (12) does not fit a narrower W2: 1/4 of 36 is 9.
        (
            "linear2_1(relu(mul(linear2_1(x,wb1),x)),wb2)",
            {"ffn_width": 36, "channel_mismatch": "pad"},
            4,
            3,
        ),
    ],
)
def test_a_ratio_that_does_not_fit_is_replaced_by_the_next_that_fits(own, changes, chosen, taken):
    layer = _cell(own, **changes)
    expected = layer(_x(), cell=_sized(layer.cell, 1, taken))
    graph = tf.function(lambda choice: layer(_x(), choice=choice), autograph=False)
    np.testing.assert_allclose(graph(tf.constant([1, chosen])), expected, atol=1e-6)


# === Whole networks ===


@pytest.fixture(scope="module")
def network():
    sizes = {"hidden_size": _WIDTH, "ffn_width": _WIDTH, "num_heads": 3}
    architecture = small_architecture(_FORMULAS, **sizes)
    return small_task_model(architecture=architecture, fit_size=10, dropout=0.3)


def test_a_network_with_choices_equals_one_with_cells(network):
    arguments = {"dropout_seed": _SEED, "training": True}
    inputs = {name: tf.constant(array) for name, array in random_inputs().items()}
    signature = [tf.TensorSpec([3, 2], tf.int32)]
    graph = tf.function(
        lambda choices: network(inputs, choices=choices, **arguments),
        input_signature=signature,
        autograph=False,
    )
    own = network.backbone.architecture.cells
    for sizes in ([(4, 1)] * 3, [(1, 4), (2, 3), (3, 2)], [(3, 1), (1, 1), (2, 4)]):
        cells = tuple(_sized(cell, *size) for cell, size in zip(own, sizes, strict=True))
        assert all(isinstance(cell, CellSpec) for cell in cells)
        chosen, expected = graph(tf.constant(sizes)), network(inputs, cells=cells, **arguments)
        assert set(chosen) == set(expected)
        for name in expected:
            for one, other in zip(
                tf.nest.flatten(chosen[name]), tf.nest.flatten(expected[name]), strict=True
            ):
                np.testing.assert_allclose(one, other, atol=1e-5)
    assert graph.experimental_get_tracing_count() == 1
