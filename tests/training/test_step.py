import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.small_models import random_inputs
from tests.training.tiny_training import tiny_examples, tiny_objective, tiny_pair
from tf_efficientbert.data.batching import TrainingBatches
from tf_efficientbert.training.optimizer import build_optimizer
from tf_efficientbert.training.step import TrainingStep


def _step(student, loss_fn, optimizer, **arguments):
    return TrainingStep(
        variables=student.trainable_variables,
        loss_fn=loss_fn,
        optimizer=optimizer,
        strategy=tf.distribute.get_strategy(),
        **{"seed": 0, **arguments},
    )


def _gradient(loss_fn, student, batch):
    with tf.GradientTape() as tape:
        loss = loss_fn({name: tf.constant(array) for name, array in batch.items()}, None)["loss"]
    gradient = tape.gradient(loss, [v.value for v in student.trainable_variables])
    return [tf.convert_to_tensor(part).numpy() for part in gradient]


@pytest.mark.parametrize("clip_norm", [0.05, 1e6])
def test_a_step_applies_the_clipped_gradient(clip_norm):
    teacher, student = tiny_pair(dropout=0.0)
    batch = random_inputs(lengths=(7, 3, 5, 8))

    def loss_fn(batch, seed):
        return tiny_objective().losses(teacher, student, batch, seed)

    gradient = _gradient(loss_fn, student, batch)
    norm = np.sqrt(sum(np.sum(np.square(part, dtype=float)) for part in gradient))
    assert 0.05 < norm < 1e6
    before = [v.numpy() for v in student.trainable_variables]
    optimizer = keras.optimizers.SGD(1.0)
    optimizer.build(student.trainable_variables)
    losses = _step(student, loss_fn, optimizer, clip_norm=clip_norm)(batch, 0)
    assert losses["gradient_norm"] == pytest.approx(norm, rel=1e-5)
    after = [v.numpy() for v in student.trainable_variables]
    for old, new, part in zip(before, after, gradient, strict=True):
        expected = old - part * min(1, clip_norm / norm)
        np.testing.assert_allclose(new, expected, rtol=1e-5, atol=2e-6)


def test_a_step_returns_the_losses_and_the_gradient_norm():
    teacher, student = tiny_pair(dropout=0.0)
    objective, batch = tiny_objective(), random_inputs()
    expected = {k: float(v) for k, v in objective.losses(teacher, student, batch).items()}
    optimizer = build_optimizer(student.trainable_variables, 1e-3, 5)
    step = _step(student, lambda b, seed: objective.losses(teacher, student, b, seed), optimizer)
    losses = step(batch, 0)
    assert losses.pop("gradient_norm") > 0
    assert losses == pytest.approx(expected, rel=1e-5)


def test_only_the_padding_row_of_the_token_table_stays_zero():
    teacher, student = tiny_pair()
    table = student.backbone.embedding.token_table
    before = table.numpy()
    optimizer = build_optimizer(student.trainable_variables, 1e-2, 5, weight_decay=0.1)
    objective = tiny_objective()
    step = _step(student, lambda b, seed: objective.losses(teacher, student, b, seed), optimizer)
    for number in range(3):
        step(random_inputs(lengths=(2, 9, 5), seed=number), number)
    after = table.numpy()
    np.testing.assert_array_equal(after[0], 0)
    assert np.all(np.any(after[1:] != before[1:], axis=1))


def test_batches_of_all_shapes_share_one_trace():
    teacher, student = tiny_pair()
    traces = []

    def loss_fn(batch, seed):
        traces.append(batch["token_ids"].shape)  # Python runs only while tracing
        return tiny_objective().losses(teacher, student, batch, seed)

    step = _step(student, loss_fn, build_optimizer(student.trainable_variables, 1e-3, 9))
    for number, lengths in enumerate([(7, 3), (5, 8, 2), (4,), (9, 9, 9, 9), (1, 2)]):
        step(random_inputs(lengths=lengths), number)
    assert len(traces) == 1


def test_dropout_depends_only_on_seed_and_step():
    teacher, student = tiny_pair(dropout=0.3)
    batch = TrainingBatches(tiny_examples(), 4, 0)[0]
    no_update = keras.optimizers.SGD(0.0)
    no_update.build(student.trainable_variables)

    def loss_fn(batch, seed):
        objective = tiny_objective(real_tokens_only=True)
        return objective.losses(teacher, student, batch, seed)

    one, same, other = (_step(student, loss_fn, no_update, seed=seed) for seed in (1, 1, 2))
    assert one(batch, 2) == same(batch, 2)
    assert len({step(batch, n)["loss"] for step, n in ((one, 2), (one, 3), (other, 2))}) == 3


class _TwoReplicas:
    num_replicas_in_sync = 2


@pytest.mark.parametrize("size", [1, 3])
def test_a_batch_that_cannot_be_split_evenly_is_rejected(size):
    step = TrainingStep(variables=[], loss_fn=None, optimizer=None, strategy=_TwoReplicas(), seed=0)
    message = f"a batch of {size} cannot be split evenly among 2 replicas"
    with pytest.raises(ValueError, match=message):
        step(random_inputs(lengths=(4,) * size), 0)


@pytest.mark.parametrize("left_out", ["hidden_ratio", "prediction_ratio"])
def test_weights_of_a_term_with_ratio_0_do_not_change(left_out):
    teacher, student = tiny_pair()
    objective = tiny_objective(attention_ratio=0.0, **{left_out: 0.0})
    idle = {
        "hidden_ratio": student.backbone.fit_projection,
        "prediction_ratio": student.head.classifier,
    }[left_out]
    before = idle.bias.numpy().copy()
    optimizer = build_optimizer(student.trainable_variables, 1e-2, 10)
    step = _step(
        student, lambda batch, seed: objective.losses(teacher, student, batch, seed), optimizer
    )
    losses = step(TrainingBatches(tiny_examples(), 4, 0)[0], 0)
    assert np.isfinite(losses["loss"])
    np.testing.assert_array_equal(idle.bias.numpy(), before)
