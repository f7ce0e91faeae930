from fractions import Fraction

import numpy as np
import pytest

from tests.models.small_models import randomize
from tests.models.small_text_models import small_supernet
from tests.training.tiny_training import tiny_examples
from tf_efficientbert.architecture import CellSpec
from tf_efficientbert.data.batching import evaluation_batches
from tf_efficientbert.distillation.unit_order import sort_inner_units
from tf_efficientbert.layers.self_attention import attention_bias


@pytest.fixture
def supernet():
    backbone = small_supernet(3, fit_size=24).backbone
    return randomize(backbone, seed=4)


def outputs(supernet, examples, cells=None):
    """Returns the last hidden states of all real tokens."""
    parts = []
    for _, batch in evaluation_batches(examples, 8):
        states = np.asarray(supernet(batch, cells=cells)["sequence_output"])
        parts.append(states[batch["padding_mask"].astype(bool)])
    return np.concatenate(parts)


def inner_weights(supernet):
    for cell in supernet.cells:
        for each in cell.feed_forwards:
            yield each, [np.asarray(w) for w in (each.kernel_1, each.bias_1, each.kernel_2)]


def test_the_whole_network_computes_what_it_did_before(supernet):
    examples = tiny_examples(16)
    before = outputs(supernet, examples)
    unsorted = [weights for _, weights in inner_weights(supernet)]
    sort_inner_units(supernet, examples)
    np.testing.assert_allclose(outputs(supernet, examples), before, rtol=0, atol=1e-5)
    for (_, after), weights in zip(inner_weights(supernet), unsorted, strict=True):
        assert not np.array_equal(after[0], weights[0])
        # The same units: a column of W1 with its bias and its row of W2.
        units = [
            np.concatenate([each[0].T, each[1][:, None], each[2]], 1) for each in (after, weights)
        ]
        np.testing.assert_array_equal(*(unit[np.lexsort(unit.T)] for unit in units))


def test_units_are_in_the_order_of_their_contributions(supernet):
    """Against float64 NumPy, in the first network, whose input is the attention's output."""
    examples = tiny_examples(16)
    sort_inner_units(supernet, examples)
    first = supernet.cells[0].feed_forwards[0]
    inputs = []
    for _, batch in evaluation_batches(examples, 8):
        embedded = supernet.embedding(batch["token_ids"], batch["segment_ids"])
        states, *_ = supernet.attentions[0](embedded, attention_bias(batch["padding_mask"]))
        inputs.append(np.asarray(states, float)[batch["padding_mask"].astype(bool)])
    kernel_1, bias_1, kernel_2 = (
        np.asarray(w, float) for w in (first.kernel_1, first.bias_1, first.kernel_2)
    )
    x = np.concatenate(inputs) @ kernel_1 + bias_1
    units = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    importance = np.sqrt((units**2).mean(axis=0)) * np.linalg.norm(kernel_2, axis=1)
    assert (np.diff(importance) <= 1e-6).all()


def test_a_slice_of_the_first_units_changes_less_after_sorting(supernet):
    examples = tiny_examples(32)
    half = (CellSpec.ordinary(4, Fraction(1, 2)),) * 3
    whole = outputs(supernet, examples)
    before = np.square(outputs(supernet, examples, half) - whole).mean()
    sort_inner_units(supernet, examples)
    assert np.square(outputs(supernet, examples, half) - whole).mean() < before
