import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.small_models import (
    FORMULAS,
    random_inputs,
    small_architecture,
    small_backbone,
    small_task_model,
    weight_values,
)
from tf_efficientbert.architecture import Architecture
from tf_efficientbert.distillation.inheritance import inherit
from tf_efficientbert.layers import Dropout
from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.tasks import ClassificationHead, SpanHead

_SEED = np.array([3, 4], np.int32)
# bfloat16 keeps 8 bits, 0.4% of a value. Over 24 random models of three layers, with values up to
# 3, the largest measured difference from float32 was 0.041.
_BFLOAT16 = 0.06
_PRESETS = (
    "efficientbert_tiny",
    "efficientbert",
    "efficientbert_plus",
    "efficientbert_plus_plus",
    "efficient_tinybert",
)
_INPUT_SPEC = {
    name: tf.TensorSpec([None, None], tf.int32)
    for name in ("token_ids", "segment_ids", "padding_mask")
}


def _flat(outputs):
    return [np.asarray(tensor, dtype=np.float32) for tensor in keras.tree.flatten(outputs)]


@pytest.mark.parametrize("name", _PRESETS)
def test_the_weights_of_a_preset_match_its_architecture_s_count(name, monkeypatch):
    # Drawing 70 M random numbers takes seconds, and their values do not matter here.
    monkeypatch.setattr(keras.initializers, "TruncatedNormal", lambda **_: "zeros")
    architecture = Architecture.from_preset(name)
    model = EfficientBert(architecture, fit_size=768)
    assert model.count_params() == architecture.count_parameters(fit_size=768)


@pytest.mark.parametrize("embedding", ["trigram", "bert"])
@pytest.mark.parametrize("fit_size", [None, 10])
def test_the_weights_of_a_small_backbone_match_its_architecture_s_count(embedding, fit_size):
    architecture = small_architecture(embedding=embedding)
    tables = {"vocabulary_size": 21, "max_positions": 9}
    model = EfficientBert(architecture, fit_size=fit_size, **tables)
    assert model.count_params() == architecture.count_parameters(fit_size=fit_size, **tables)


@pytest.mark.parametrize("fit_size", [None, 10])
def test_outputs_have_the_documented_shapes(fit_size):
    outputs = small_backbone(fit_size=fit_size)(random_inputs((7, 3)))
    width = fit_size or 24
    assert outputs["sequence_output"].shape == (2, 7, 24)
    assert [state.shape for state in outputs["hidden_states"]] == [(2, 7, width)] * 4
    assert outputs["pooled"].shape == (2, width)
    assert [scores.shape for scores in outputs["attention_scores"]] == [(2, 4, 7, 7)] * 3
    for name in ("queries", "keys", "values"):
        assert [vectors.shape for vectors in outputs[name]] == [(2, 7, 24)] * 3


def test_hidden_states_are_fit_projected_and_the_sequence_output_is_not():
    model = small_backbone(fit_size=10)
    fitted = model(random_inputs())
    model.fit_projection = None
    plain = model(random_inputs())
    np.testing.assert_array_equal(fitted["sequence_output"], plain["sequence_output"])
    np.testing.assert_array_equal(plain["sequence_output"], plain["hidden_states"][-1])
    kernel, bias = small_backbone(fit_size=10).fit_projection.get_weights()
    for projected, state in zip(fitted["hidden_states"], plain["hidden_states"], strict=True):
        np.testing.assert_allclose(projected, np.asarray(state) @ kernel + bias, atol=1e-5)


@pytest.mark.parametrize("embedding", ["trigram", "bert"])
def test_padding_does_not_change_the_outputs_of_real_tokens(embedding):
    model = small_task_model(architecture=small_architecture(embedding=embedding), fit_size=10)
    lengths = 7, 3, 5
    short, *longer = (model(random_inputs(lengths, tokens)) for tokens in (7, 8, 16))
    for outputs in longer:
        np.testing.assert_allclose(outputs["logits"], short["logits"], atol=1e-5)
        for states, expected in zip(outputs["hidden_states"], short["hidden_states"], strict=True):
            for row, length in enumerate(lengths):
                real = row, slice(length)
                np.testing.assert_allclose(states[real], expected[real], atol=1e-5)


def test_examples_of_a_batch_are_independent():
    model, inputs = small_task_model(), random_inputs((7, 3, 5))
    together = model(inputs)["logits"]
    for row in range(3):
        alone = model({name: value[row : row + 1] for name, value in inputs.items()})["logits"]
        np.testing.assert_allclose(together[row], alone[0], atol=1e-5)


@pytest.mark.parametrize(
    "formulas",
    [FORMULAS, ("linear4_1(gelu(linear4_1(x,wb1)),wb2)", "linear1_4(elu(linear1_4(x,wb1)),wb2)")],
)
@pytest.mark.parametrize("embedding", ["trigram", "bert"])
def test_a_supernet_called_with_cells_equals_the_inheriting_child(formulas, embedding):
    architecture = small_architecture(formulas, embedding=embedding)
    supernet = small_backbone(architecture.supernet(), fit_size=10)
    child = small_backbone(architecture, seed=9, fit_size=10)
    inherit(child, supernet)
    sliced = supernet(random_inputs(), cells=architecture.cells)
    for ours, theirs in zip(_flat(child(random_inputs())), _flat(sliced), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-5)


def test_a_supernet_without_cells_uses_all_of_its_weights():
    supernet = small_backbone(small_architecture().supernet())
    own = supernet(random_inputs(), cells=supernet.architecture.cells)
    whole = supernet(random_inputs())
    np.testing.assert_array_equal(whole["sequence_output"], own["sequence_output"])


def test_gradients_of_a_sliced_supernet_reach_only_the_used_weights():
    architecture = small_architecture()
    supernet = small_backbone(architecture.supernet())
    inputs = random_inputs()
    with tf.GradientTape() as tape:
        output = supernet(inputs, cells=architecture.cells)["sequence_output"]
        loss = tf.reduce_sum(output * np.linspace(-1, 1, output.shape[-1], dtype="float32"))
    first, unused = supernet.cells[1].feed_forwards[:2]  # linear1_2: one network, half as wide
    used, beyond = tape.gradient(loss, [first.kernel_1.value, unused.kernel_1.value])
    assert beyond is None
    assert np.any(used[:, :12])
    assert not np.any(used[:, 12:])


@pytest.mark.parametrize("kind", ["classification", "regression", "span"])
def test_a_compiled_model_takes_batches_of_any_size_and_length_in_one_trace(kind):
    model = small_task_model(kind, fit_size=10)
    compiled = tf.function(
        lambda inputs, seed: model(inputs, training=True, dropout_seed=seed),
        input_signature=[_INPUT_SPEC, tf.TensorSpec([2], tf.int32)],
    )
    for lengths in ((7, 3, 5), (4, 2)):
        inputs = random_inputs(lengths)
        eager = model(inputs, training=True, dropout_seed=_SEED)
        traced = compiled(dict(inputs), _SEED)
        for ours, theirs in zip(_flat(traced), _flat(eager), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-5)
    assert compiled.experimental_get_tracing_count() == 1


def test_a_training_pass_is_reproduced_only_by_the_same_dropout_seed():
    model, inputs = small_task_model(), random_inputs()

    def logits(seed, training=True):
        outputs = model(inputs, training=training, dropout_seed=np.asarray(seed, np.int32))
        return outputs["logits"].numpy()

    np.testing.assert_array_equal(logits([3, 4]), logits([3, 4]))
    assert np.all(logits([3, 4]) != logits([3, 5]))
    assert np.all(logits([3, 4]) != logits([2, 4]))
    np.testing.assert_array_equal(logits([3, 4], training=False), model(inputs)["logits"])


def test_no_two_dropouts_of_two_steps_share_a_seed(monkeypatch):
    seeds = []

    def recording(self, inputs, dropout_seed=None, training=False):
        seeds.append(tuple(np.asarray(dropout_seed)))
        return inputs

    monkeypatch.setattr(Dropout, "call", recording)
    model = small_task_model()
    for step in (1, 2):
        model(random_inputs(), training=True, dropout_seed=tf.constant([0, step]))
    stacks = sum(cell.stack for cell in model.backbone.architecture.cells)
    once = 1 + 3 * 2 + stacks + 1  # embedding, two in each attention, FFNs, head
    assert len(seeds) == len(set(seeds)) == 2 * once


def test_weight_names_are_unique():
    model = small_task_model(fit_size=10)
    assert len(weight_values(model)) == len(model.weights) == len(model.trainable_weights)


def test_a_classification_head_is_dense_tanh_dense_on_the_first_token():
    head = small_task_model().head
    states = np.random.default_rng(2).normal(size=(3, 5, 24)).astype("float32")
    kernel, bias = head.pooler.get_weights()
    pooled = np.tanh(states[:, 0] @ kernel + bias)
    kernel, bias = head.classifier.get_weights()
    np.testing.assert_allclose(head(states)["logits"], pooled @ kernel + bias, atol=1e-5)


def test_a_regression_head_gives_one_number_per_example():
    states = np.zeros((3, 5, 24), "float32")
    assert ClassificationHead(24, 1)(states)["logits"].shape == (3,)


def test_a_span_head_gives_two_numbers_per_token_start_first():
    head = SpanHead(24)
    states = np.random.default_rng(2).normal(size=(3, 5, 24)).astype("float32")
    logits = head(states)
    kernel, bias = head.classifier.get_weights()
    expected = states @ kernel + bias
    np.testing.assert_allclose(logits["start_logits"], expected[..., 0], atol=1e-5)
    np.testing.assert_allclose(logits["end_logits"], expected[..., 1], atol=1e-5)


@pytest.mark.parametrize("kind", ["classification", "regression", "span"])
def test_bfloat16_computes_about_the_same_and_gives_float32_logits(kind):
    exact = small_task_model(kind, fit_size=10)
    rounded = small_task_model(kind, fit_size=10, dtype="mixed_bfloat16")
    assert {weight.dtype for weight in rounded.weights} == {"float32"}
    expected, outputs = exact(random_inputs()), rounded(random_inputs())
    for name in [name for name in outputs if name.endswith("logits")]:
        assert keras.backend.standardize_dtype(outputs[name].dtype) == "float32"
        np.testing.assert_allclose(outputs[name], expected[name], atol=_BFLOAT16)
    for ours, theirs in zip(outputs["hidden_states"], expected["hidden_states"], strict=True):
        assert keras.backend.standardize_dtype(ours.dtype) == "bfloat16"
        np.testing.assert_allclose(np.asarray(ours, np.float32), theirs, atol=_BFLOAT16)


@pytest.mark.parametrize("embedding", ["trigram", "bert"])
def test_a_model_rebuilt_in_bfloat16_keeps_its_weights(embedding):
    model = small_task_model(architecture=small_architecture(embedding=embedding), fit_size=10)
    copy = model.rebuilt(dtype="mixed_bfloat16")
    for ours, theirs in zip(copy.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    outputs = copy(random_inputs())
    assert keras.backend.standardize_dtype(outputs["sequence_output"].dtype) == "bfloat16"
    np.testing.assert_allclose(outputs["logits"], model(random_inputs())["logits"], atol=_BFLOAT16)


@pytest.mark.parametrize("embedding", ["bert", "trigram"])
def test_bfloat16_weights_give_the_outputs_of_mixed_bfloat16(embedding):
    architecture = small_architecture(embedding=embedding)
    model = small_task_model("classification", architecture, fit_size=10)
    ours = model.rebuilt(dtype="bfloat16")(random_inputs())
    theirs = model.rebuilt(dtype="mixed_bfloat16")(random_inputs())
    for value, expected in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True):
        assert value.dtype == expected.dtype
        np.testing.assert_array_equal(tf.cast(value, "float32"), tf.cast(expected, "float32"))


@pytest.mark.parametrize(("before", "after"), [(10, None), (None, 10)])
def test_removing_or_adding_a_fit_projection_keeps_the_logits(before, after):
    model = small_task_model(fit_size=before)
    copy = model.rebuilt(fit_size=after)
    assert (model.backbone.fit_size, copy.backbone.fit_size) == (before, after)
    outputs, expected = copy(random_inputs()), model(random_inputs())
    assert outputs["hidden_states"][0].shape[-1] == (after or 24)
    np.testing.assert_allclose(outputs["logits"], expected["logits"], atol=1e-6)


def test_a_rebuilt_model_shares_no_weights_with_the_old_one():
    model = small_task_model()
    before = weight_values(model)
    for weight in model.rebuilt(dropout=0.4).weights:
        weight.assign(weight * 0 + 5)
    for path, value in weight_values(model).items():
        np.testing.assert_array_equal(value, before[path])
