import numpy as np
import pytest
import tensorflow as tf

from tests.export.exported import PADDED, SLICED, TEACHER
from tests.models.small_models import (
    MAX_POSITIONS,
    random_inputs,
    small_architecture,
    small_task_model,
)
from tf_efficientbert.data.batching import MODEL_INPUTS
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.inference_graph import InferenceGraph, lookup_table

_STACKED = ["elu(linear4_2(gelu(linear4_2(x,wb1)),wb2))"]
_NETWORKS = {
    "published formulas, slice": lambda: small_task_model(architecture=SLICED),
    "pad": lambda: small_task_model(architecture=PADDED, seed=1),
    "stacked": lambda: small_task_model(architecture=small_architecture(_STACKED * 2)),
    "one layer": lambda: small_task_model(architecture=small_architecture(_STACKED)),
    "teacher": lambda: small_task_model("regression", TEACHER, exact_gelu=True),
    "small epsilon": lambda: small_task_model(architecture=TEACHER, layer_norm_epsilon=1e-12),
}
_LENGTHS = (16, 1, 7, 2)


def _answers(model, tokens=MAX_POSITIONS, lengths=_LENGTHS, **arguments):
    """Returns the graph's logits and Keras' logits."""
    inputs = random_inputs(lengths, tokens)
    graph = tf.function(InferenceGraph(model, tokens, **arguments))
    rows = [[tf.constant(inputs[n][i : i + 1]) for n in MODEL_INPUTS] for i in range(len(lengths))]
    ours = np.concatenate([graph(*row).numpy() for row in rows])
    expected = model({name: tf.constant(array) for name, array in inputs.items()})
    return ours, expected["logits"].numpy()


@pytest.mark.parametrize("name", _NETWORKS)
def test_logits_equal_keras(name):
    ours, expected = _answers(_NETWORKS[name]())
    assert ours.shape == expected.shape and np.ptp(expected) > 0.1
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


def test_padding_changes_nothing():
    model = small_task_model(architecture=SLICED)
    long, _ = _answers(model, lengths=(7, 3))
    short, _ = _answers(model, tokens=7, lengths=(7, 3))
    np.testing.assert_allclose(short, long, rtol=0, atol=1e-5)


def test_a_mask_that_fits_into_eight_bits_hides_padding():
    ours, expected = _answers(small_task_model(architecture=SLICED), masked_score=-30.0)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("bits", "steps"), [(8, 127), (5, 19)])
@pytest.mark.parametrize("embedding_size", [8, 9])
def test_tables_of_few_bits_are_off_by_half_a_step_at_most(bits, steps, embedding_size):
    table = np.random.default_rng(4).normal(size=(40, embedding_size))
    table[0] = 0
    numbers = np.array([[3, 0, 39, 3]])
    rows = lookup_table(table, bits)(tf.constant(numbers)).numpy()
    expected = table[numbers]
    step = np.abs(expected).max(axis=-1, keepdims=True) / steps
    assert np.all(np.abs(rows - expected) <= 0.501 * step)
    assert np.abs(rows - expected).max() > 0 and not rows[0, 1].any()


@pytest.mark.parametrize(("bits", "tolerance"), [(8, 0.02), (5, 0.1)])
def test_few_bits_for_the_token_table_change_the_logits_a_little(bits, tolerance):
    model = small_task_model(architecture=TEACHER)
    embedding = model.backbone.embedding
    for table in (embedding.position_table, embedding.segment_table):
        table.assign(table * 0)  # so that every difference comes from the token table
    ours, expected = _answers(model, table_bits=bits)
    assert tolerance / 20 < np.abs(ours - expected).max() / np.ptp(expected) < tolerance


def test_a_length_over_the_model_s_positions_is_refused():
    with pytest.raises(UserError, match=f"{MAX_POSITIONS + 1} tokens are more than the model's"):
        InferenceGraph(small_task_model(), MAX_POSITIONS + 1)


def test_span_models_are_refused():
    with pytest.raises(UserError, match="needs a model whose head reads only"):
        InferenceGraph(small_task_model("span"), MAX_POSITIONS)
