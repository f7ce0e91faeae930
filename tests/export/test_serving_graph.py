import numpy as np
import pytest
import tensorflow as tf

from tests.export.exported import PADDED, SLICED, TEACHER
from tests.models.small_models import (
    random_inputs,
    small_architecture,
    small_task_model,
)
from tf_efficientbert.data.batching import MODEL_INPUTS
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.serving_graph import ServingGraph

# More columns and more real tokens than one step of the graph's sizes.
_TOKENS = 48
_STACKED = ["elu(linear4_2(gelu(linear4_2(x,wb1)),wb2))"]
_NETWORKS = {
    "published formulas, slice": lambda: _model(SLICED),
    "pad": lambda: _model(PADDED, seed=1),
    "one layer": lambda: _model(small_architecture(_STACKED)),
    "teacher": lambda: _model(TEACHER, "regression", exact_gelu=True),
    "small epsilon": lambda: _model(TEACHER, layer_norm_epsilon=1e-12),
}
_SPECS = [tf.TensorSpec([None, None], tf.int32)] * 3


def _model(architecture, kind="classification", seed=0, **arguments):
    return small_task_model(kind, architecture, seed, max_positions=_TOKENS, **arguments)


def _graph(model):
    return tf.function(ServingGraph(model), input_signature=_SPECS)


def _arguments(inputs):
    return [tf.constant(inputs[name]) for name in MODEL_INPUTS]


@pytest.mark.parametrize("lengths", [(16, 1, 7, 2), (3,), (40, 17, 33), (48, 48), (1, 1)])
@pytest.mark.parametrize("name", _NETWORKS)
def test_logits_equal_keras(name, lengths):
    model = _NETWORKS[name]()
    inputs = random_inputs(lengths, _TOKENS)
    expected = model(dict(zip(MODEL_INPUTS, _arguments(inputs), strict=True)))["logits"].numpy()
    ours = _graph(model)(*_arguments(inputs)).numpy()
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


def test_a_row_s_logits_do_not_depend_on_batch_and_padding():
    graph = _graph(_model(SLICED))
    together = graph(*_arguments(random_inputs((7, 3, 5), _TOKENS))).numpy()
    inputs = random_inputs((7, 3, 5), _TOKENS)
    for row, length in enumerate((7, 3, 5)):
        cut = {name: array[row : row + 1, :length] for name, array in inputs.items()}
        alone = graph(*_arguments(cut)).numpy()
        np.testing.assert_allclose(together[row : row + 1], alone, rtol=0, atol=1e-5)
    assert np.ptp(together, axis=0).max() > 0.1


def test_a_mask_with_holes_hides_the_masked_tokens():
    model = _model(SLICED)
    inputs = random_inputs((9, 9), _TOKENS)
    inputs["padding_mask"][0, [2, 5]] = 0
    expected = model(dict(zip(MODEL_INPUTS, _arguments(inputs), strict=True)))["logits"].numpy()
    ours = _graph(model)(*_arguments(inputs)).numpy()
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)
    assert np.abs(ours[0] - ours[1]).max() > 1e-3


def test_a_row_without_real_tokens_gives_finite_logits_and_changes_no_other():
    graph = _graph(_model(SLICED))
    inputs = random_inputs((7, 4), _TOKENS)
    before = graph(*_arguments(inputs)).numpy()
    for name in MODEL_INPUTS:
        inputs[name][1] = 0
    after = graph(*_arguments(inputs)).numpy()
    assert np.isfinite(after).all()
    np.testing.assert_allclose(after[0], before[0], rtol=0, atol=1e-6)


def test_span_models_are_refused():
    with pytest.raises(UserError, match="needs a model whose head reads only"):
        ServingGraph(small_task_model("span"))
