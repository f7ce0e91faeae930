import numpy as np
import pytest
import tensorflow as tf

from tests.models.small_models import small_architecture, small_task_model
from tf_efficientbert.compression.pruning import Pruner, linear_maps, pruning_schedule
from tf_efficientbert.compression.steps import Prune
from tf_efficientbert.compression.toolkit import toolkit

_STEPS = 12


def _model():
    return small_task_model(architecture=small_architecture(hidden_size=28, ffn_width=20))


def _shake(model, seed):
    """Changes every weight, also pruned ones, as an optimizer does."""
    draws = np.random.default_rng(seed)
    for weight in model.trainable_variables:
        weight.assign_add(draws.normal(scale=0.01, size=weight.shape))


def _zeros(model):
    return [kernel.numpy() == 0 for kernel in linear_maps(model.backbone)]


def test_the_schedule_is_tfmot_s_and_ends_before_the_training():
    for steps in (1, 2, 12, 1000):
        schedule = pruning_schedule(0.75, steps)
        assert type(schedule) is toolkit().PolynomialDecay
        updates = [step for step in range(1, steps + 1) if bool(schedule(tf.constant(step))[0])]
        assert 1 <= len(updates) <= 135 and updates[-1] <= max(1, 2 * steps / 3)
        for step in updates:
            expected = 0.75 - 0.75 * (1 - step / updates[-1]) ** 3
            assert float(schedule(tf.constant(step))[1]) == pytest.approx(expected, abs=1e-6)


def test_masks_have_the_sparsity_of_the_schedule_after_each_step():
    model = _model()
    pruner, schedule = Pruner(model.backbone, Prune(0.75), _STEPS), pruning_schedule(0.75, _STEPS)
    after_step = tf.function(pruner.after_step)
    sparsity = 0.0
    for step in range(1, _STEPS + 1):
        _shake(model, step)
        before = [kernel.numpy() for kernel in linear_maps(model.backbone)]
        after_step(tf.constant(step, tf.int64))
        due, target = schedule(tf.constant(step))
        sparsity = float(target) if due else sparsity
        for kernel, old, zeros in zip(
            linear_maps(model.backbone), before, _zeros(model), strict=True
        ):
            assert zeros.sum() == old.size - round(old.size * (1 - sparsity))
            np.testing.assert_array_equal(kernel.numpy(), np.where(zeros, 0, old))
            if due:
                assert np.abs(old[zeros]).max(initial=0) <= np.abs(old[~zeros]).min()
    assert sparsity == 0.75


def test_the_pattern_leaves_the_two_largest_of_every_four_inputs_from_the_first_step_on():
    model = _model()
    before = [kernel.numpy() for kernel in linear_maps(model.backbone)]
    pruner = Pruner(model.backbone, Prune("2:4"), _STEPS)
    pruner.after_step(tf.constant(1, tf.int64))
    for old, zeros in zip(before, _zeros(model), strict=True):
        for first in range(0, len(old), 4):
            smallest = np.argsort(np.abs(old[first : first + 4]), axis=0)[:2]
            expected = np.zeros_like(zeros[first : first + 4])
            np.put_along_axis(expected, smallest, True, axis=0)
            if len(expected) == 4:
                np.testing.assert_array_equal(zeros[first : first + 4], expected)
    masks = _zeros(model)
    for step in range(2, _STEPS):
        _shake(model, step)
        pruner.after_step(tf.constant(step, tf.int64))
    for earlier, now in zip(masks, _zeros(model), strict=True):
        np.testing.assert_array_equal(earlier, now)


@pytest.mark.parametrize("later", [None, Prune(0.25), Prune("2:4"), Prune(0.75)], ids=str)
def test_weights_that_are_zero_at_the_start_stay_zero(later):
    model = _model()
    Pruner(model.backbone, Prune(0.5), 1).after_step(tf.constant(1, tf.int64))
    earlier = _zeros(model)
    pruner = Pruner(model.backbone, later, _STEPS)
    for step in range(1, _STEPS + 1):
        _shake(model, step)
        pruner.after_step(tf.constant(step, tf.int64))
        for before, now in zip(earlier, _zeros(model), strict=True):
            assert now[before].all()
    more = [now.sum() > before.sum() for before, now in zip(earlier, _zeros(model), strict=True)]
    assert all(more) if later in (Prune("2:4"), Prune(0.75)) else not any(more)


def test_tables_biases_norms_and_head_are_not_pruned():
    model = _model()
    Pruner(model.backbone, Prune(0.9), 1).after_step(tf.constant(1, tf.int64))
    pruned = {kernel.path for kernel in linear_maps(model.backbone)}
    assert len(pruned) == 1 + 3 * 4 + (3 + 1 + 2) * 2
    for weight in model.weights:
        zeros = np.mean(weight.numpy() == 0)
        if weight.path in pruned:
            assert zeros == pytest.approx(0.9, abs=0.01)
        else:
            assert zeros <= 1 / 40  # the row of [PAD] in the token table
