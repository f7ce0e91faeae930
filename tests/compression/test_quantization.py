import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from tests.models.small_models import random_inputs, small_architecture, small_task_model
from tests.models.small_text_models import small_text_model
from tf_efficientbert.compression.quantization import Quantizer, rounded_rows
from tf_efficientbert.compression.toolkit import toolkit
from tf_efficientbert.export.litert import export_litert
from tf_efficientbert.export.litert_conversion import convert, saved
from tf_efficientbert.layers.bert_embedding import place_embedding
from tf_efficientbert.layers.linear import linear_input

_PER_CHANNEL = ("kernel", "kernel_1", "kernel_2")
_QUANTIZED = (*_PER_CHANNEL, "token_table")
_TOKENS = 10  # more than random_inputs() has


def _rounded(weight):
    """Rounds a weight to the int8 grid, in float64."""
    value = weight.numpy().astype(np.float64)
    axis = 0 if weight.name in _PER_CHANNEL else None
    scale = np.abs(value).max(axis=axis) / 127
    return np.round(value / scale) * scale


def _rounded_places(embedding, longest=_TOKENS):
    """Returns the sums of segments and positions, [segments, tokens, d], on an int8 grid."""
    positions = embedding.position_table.numpy()[:longest].astype(np.float64)
    table = positions + embedding.segment_table.numpy()[:, None]
    scale = np.abs(table).max() / 127
    return np.round(table / scale) * scale


def _looked_up(embedding):
    """Returns a rounding of places by a table; its gradient is 1, as it adds a constant."""
    table, segments = _rounded_places(embedding), random_inputs()["segment_ids"]

    def rounding(x):
        rows = table[segments, np.arange(x.shape[1])]
        np.testing.assert_allclose(rows, x, rtol=0, atol=np.abs(table).max() / 127 * 0.51)
        return x + tf.constant(rows - x.numpy(), tf.float32)

    return rounding


def _logits(model):
    return model(random_inputs())["logits"]


@pytest.fixture
def model():
    return small_task_model()


def test_tf_keras_and_child_processes_keep_keras_3():
    toolkit()
    assert "TF_USE_LEGACY_KERAS" not in os.environ
    assert tf.keras.__version__.startswith("3.")


def test_within_the_scope_the_logits_are_those_of_rounded_weights_and_inputs(model):
    quantizer, plain = Quantizer(model, _TOKENS), _logits(model)
    with quantizer.scope():
        simulated = _logits(model)
    with (
        quantizer.rounded(),
        linear_input.by(rounded_rows),
        place_embedding.by(_looked_up(model.backbone.embedding)),
    ):
        np.testing.assert_allclose(simulated, _logits(model), rtol=1e-5, atol=1e-6)
    with quantizer.rounded():
        assert np.abs(simulated - _logits(model)).max() > 1e-3
    assert np.abs(plain - simulated).max() > 1e-3


def test_the_gradient_is_straight_through(model):
    """d loss / d weight equals that at the rounded numbers, also for the largest weights."""
    kernel = model.head.classifier.kernel
    embedding = model.backbone.embedding
    weights = kernel.value, embedding.segment_table.value, embedding.position_table.value
    quantizer = Quantizer(model, _TOKENS)
    places = _looked_up(embedding)
    with tf.GradientTape() as tape, quantizer.scope():
        loss = tf.reduce_sum(_logits(model) ** 2)
    gradients = tape.gradient(loss, weights)
    rounding = linear_input.by(rounded_rows), place_embedding.by(places)
    with tf.GradientTape() as tape, quantizer.rounded(), rounding[0], rounding[1]:
        outputs = model(random_inputs())
        loss = tf.reduce_sum(outputs["logits"] ** 2)
    expected = tape.gradient(loss, weights)
    for one, other in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(
            tf.convert_to_tensor(one), tf.convert_to_tensor(other), 1e-4, 1e-6
        )
        assert np.abs(tf.convert_to_tensor(one)).max() > 1e-3
    assert np.abs(gradients[0]).min() > 0
    rounding = linear_input.by(rounded_rows), place_embedding.by(places)
    with quantizer.rounded(), rounding[0], rounding[1]:  # applies the last map explicitly
        outputs = model(random_inputs())
        pooled = np.tanh(
            rounded_rows(outputs["sequence_output"][:, 0]).numpy().astype(np.float64)
            @ model.head.pooler.kernel.numpy().astype(np.float64)
            + model.head.pooler.bias.numpy()
        )
        pooled = rounded_rows(tf.constant(pooled)).numpy()
        logits = pooled @ kernel.numpy().astype(np.float64) + model.head.classifier.bias.numpy()
    np.testing.assert_allclose(gradients[0], pooled.T @ (2 * logits), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shift", [0.0, 3.0, -3.0])
def test_inputs_are_rounded_as_litert_rounds_them(shift):
    """Compares with a linear map in an int8 file, for rows around, above and below 0."""
    draws = np.random.default_rng(0)
    rows = draws.normal(shift, draws.uniform(0.1, 4, (9, 1)), (9, 64)).astype(np.float32)
    rows[4], rows[5, 1:] = 0, 0
    map_ = keras.layers.Dense(96)
    map_.build((None, 64))
    map_.bias.assign(draws.normal(size=96))
    map_.kernel.assign(_rounded(map_.kernel))
    module = tf.Module()
    module.weights = [map_.kernel.value, map_.bias.value]
    signature = [tf.TensorSpec(rows.shape, tf.float32, name="x")]
    function = tf.function(lambda x: {"y": map_(x)}, input_signature=signature, autograph=False)
    with saved(module, {"map": function}) as folder:
        content = convert(folder, ["map"], "int8")
    y = Interpreter(model_content=content).get_signature_runner("map")(x=rows)["y"]
    kernel, bias = map_.kernel.numpy().astype(np.float64), map_.bias.numpy()
    expected = rounded_rows(tf.constant(rows)).numpy().astype(np.float64) @ kernel + bias
    np.testing.assert_allclose(y, expected, rtol=0, atol=2e-5)
    assert np.abs(y - map_(rows)).max() > 2e-3


def test_rounding_gives_grid_values_keeps_zeros_and_is_undone(model):
    kernel = model.backbone.cells[0].feed_forwards[0].kernel_1
    value = kernel.numpy()
    value[::2], value[:, 3] = 0, 0  # pruned weights, and a pruned channel
    kernel.assign(value)
    quantizer = Quantizer(model, _TOKENS)
    before = {weight.path: weight.numpy() for weight in model.weights}
    with quantizer.rounded():
        for weight in model.weights:
            if weight.name in _QUANTIZED and weight is not kernel:
                np.testing.assert_allclose(weight.numpy(), _rounded(weight), rtol=1e-6, atol=1e-9)
        assert not np.any(kernel.numpy()[value == 0])
        assert len(np.unique(kernel.numpy())) > 40
    for weight in model.weights:
        np.testing.assert_array_equal(weight.numpy(), before[weight.path])


def test_ranges_follow_the_weights(model):
    quantizer = Quantizer(model, _TOKENS)
    for weight in model.weights:
        weight.assign(weight * 1.7)
    quantizer.follow()
    with quantizer.rounded():
        after = model.head.classifier.kernel.numpy()
    np.testing.assert_allclose(after, _rounded(model.head.classifier.kernel), rtol=1e-6)


def _larger_text_model():
    """Returns a model whose weights are large enough that LiteRT quantizes them."""
    ordinary = ["linear1_1(gelu(linear1_1(x,wb1)),wb2)"] * 2
    sizes = {"hidden_size": 48, "ffn_width": 48, "embedding_size": 32}
    return small_text_model(architecture=small_architecture(ordinary, **sizes))


def _int8_weights(path):
    """Dequantizes the weights in an int8 file."""
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    for tensor in interpreter.get_tensor_details():
        scales = tensor["quantization_parameters"]["scales"]
        if tensor["dtype"] == np.int8 and scales.size and len(tensor["shape"]) == 2:
            values = interpreter.get_tensor(tensor["index"]) * scales.reshape(-1, 1)
            yield values.T if scales.size > 1 else values


@pytest.mark.slow
def test_rounded_weights_that_are_not_folded_equal_those_in_the_int8_file(tmp_path):
    model = _larger_text_model()
    Quantizer(model.model, model.max_tokens).round()
    held = list(_int8_weights(export_litert(model, tmp_path, model.max_tokens)["int8"]))
    # The other weights are folded into their neighbours and rounded again.
    untouched = ("token_table", "projection/kernel", "kernel_2", "pooler/kernel")
    weights = [weight for weight in model.model.weights if weight.path.endswith(untouched)]
    assert len(weights) == 7
    for weight in weights:
        value = weight.numpy()
        assert any(
            one.shape == value.shape and np.allclose(one, value, 1e-5, 1e-7) for one in held
        ), weight.path


@pytest.mark.slow
def test_positions_and_segments_are_rounded_as_in_the_int8_file(tmp_path):
    model = _larger_text_model()
    quantizer = Quantizer(model.model, model.max_tokens)
    held = list(_int8_weights(export_litert(model, tmp_path, model.max_tokens)["int8"]))
    embedding = model.backbone.embedding
    rows = embedding.position_table[: model.max_tokens] + embedding.segment_table[:, None]
    rounded = quantizer.rounded_places(rows).numpy().reshape(-1, rows.shape[-1])
    assert any(one.shape == rounded.shape and np.allclose(one, rounded, 0, 1e-7) for one in held)
