"""Our models give the outputs of the authors' PyTorch code, see `tests.models.golden`."""

import numpy as np
import pytest

from tests.models import golden


@pytest.fixture(scope="module", params=golden.MODELS)
def case(request):
    stored = golden.read(request.param)
    return stored, golden.task_model(request.param)(stored.inputs)


def test_logits_are_the_reference_s(case):
    stored, outputs = case
    names = [name for name in stored.outputs if name.endswith("logits")]
    assert names in (["logits"], ["start_logits", "end_logits"])
    for name in names:
        np.testing.assert_allclose(outputs[name], stored.outputs[name], rtol=0, atol=1e-4)


def test_hidden_states_are_the_reference_s(case):
    stored, outputs = case
    expected = stored.sequence("hidden_")
    assert len(expected) == stored.meta["layers"] + 1 == len(outputs["hidden_states"])
    for ours, theirs in zip(outputs["hidden_states"], expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


def test_attention_scores_are_the_reference_s(case):
    stored, outputs = case
    expected = stored.sequence("attention_scores_")
    assert len(expected) == stored.meta["layers"] == len(outputs["attention_scores"])
    for ours, theirs in zip(outputs["attention_scores"], expected, strict=True):
        ours, masked = np.asarray(ours), theirs <= -100
        padding = stored.inputs["padding_mask"][:, None, None, :] == 0
        np.testing.assert_array_equal(masked, np.broadcast_to(padding, masked.shape))
        np.testing.assert_allclose(ours[~masked], theirs[~masked], rtol=0, atol=1e-4)
        # One float32 step at -10,000 is 9.8e-4, so an absolute 1e-4 would require equal bits.
        np.testing.assert_allclose(ours[masked], theirs[masked], rtol=1e-6, atol=0)
