import numpy as np
import pytest
import tensorflow as tf

from tests.models.small_models import random_inputs, small_architecture, small_backbone
from tf_efficientbert.architecture.expression import ACTIVATIONS, BINARY_OPERATORS
from tf_efficientbert.data.batching import MODEL_INPUTS

_OF_X = [f"{name}(x)" for name in ACTIVATIONS]
_OF_TWO = [f"{name}(x,tanh(x))" for name in BINARY_OPERATORS]


@pytest.mark.slow
def test_every_operator_has_a_gradient_if_stack_and_ratio_are_tensors():
    formulas = [f"linear1_1(gelu(linear1_1({part},wb1)),wb2)" for part in (*_OF_X, *_OF_TWO)]
    backbone = small_backbone(small_architecture(formulas), dropout=0.0)
    kernels = [cell.feed_forwards[0].kernel_1.value for cell in backbone.cells]

    def gradients(inputs, **chosen):
        with tf.GradientTape() as tape:
            states = backbone(inputs, training=True, **chosen)["sequence_output"]
            loss = tf.reduce_mean(tf.square(states - 1))
        return tape.gradient(loss, kernels)

    tokens = dict.fromkeys(MODEL_INPUTS, tf.TensorSpec([None, None], tf.int32))
    signature = [tokens, tf.TensorSpec([None, 2], tf.int32)]
    chosen = tf.function(
        lambda inputs, choices: gradients(inputs, choices=choices), input_signature=signature
    )
    inputs = random_inputs()
    found = chosen(inputs, tf.ones([len(formulas), 2], tf.int32))
    for gradient, expected in zip(found, gradients(inputs), strict=True):
        assert np.abs(expected).max() > 0
        np.testing.assert_allclose(gradient, expected, atol=1e-6)
