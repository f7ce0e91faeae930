import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.small_models import random_inputs, weight_values
from tests.models.small_text_models import TASKS
from tests.search.tiny_search import tiny_candidate, tiny_context
from tests.training.tiny_training import tiny_examples
from tf_efficientbert.data.batching import MODEL_INPUTS, TrainingBatches
from tf_efficientbert.distillation.inheritance import new_student
from tf_efficientbert.search.learner import Learner
from tf_efficientbert.search.weights import FlatWeights
from tf_efficientbert.training.optimizer import build_optimizer, is_decayed
from tf_efficientbert.training.step import TrainingStep

_RATE, _STEPS, _CLIP = 0.05, 3, 1.0


@pytest.fixture(scope="module")
def context():
    return tiny_context(dropout=0.2)


def _model(context):
    keras.utils.set_random_seed(1)
    return new_student(tiny_candidate(), context.supernet, TASKS["classification"], dropout=0.2)


def _outputs(model):
    return [array.numpy() for array in tf.nest.flatten(model(random_inputs()))]


def _assert_equal(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_in_the_scope_a_model_gives_the_same_outputs(context):
    model = _model(context)
    expected = _outputs(model)
    with FlatWeights(model).scope():
        _assert_equal(_outputs(model), expected)


def test_only_in_the_scope_a_model_uses_the_vectors(context):
    model = _model(context)
    weights, own = FlatWeights(model), _outputs(model)
    for vector in weights.variables:
        draws = np.random.default_rng(vector.shape[0])
        vector.assign_add(draws.normal(scale=0.1, size=vector.shape).astype("float32"))
    with weights.scope():
        changed = _outputs(model)
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(own, changed, strict=True))
    _assert_equal(_outputs(model), own)
    weights.write_back()
    _assert_equal(_outputs(model), changed)


def test_unchanged_weights_are_written_back_exactly(context):
    model = _model(context)
    expected = weight_values(model)
    FlatWeights(model).write_back()
    for path, value in weight_values(model).items():
        np.testing.assert_array_equal(value, expected[path])


def test_one_vector_has_the_decayed_weights_and_the_other_the_rest(context):
    model = _model(context)
    decayed, others = FlatWeights(model).variables
    sizes = {True: 0, False: 0}
    for variable in model.trainable_variables:
        sizes[is_decayed(variable)] += int(np.prod(variable.shape))
    assert (decayed.shape[0], others.shape[0]) == (sizes[True], sizes[False])
    assert is_decayed(decayed) and not is_decayed(others)


@pytest.fixture(scope="module")
def trained(context):
    """(initial weights, weights of a `Learner` after some steps, weights of the same model trained
    by `TrainingStep`, pairs of losses, gradient norms)."""
    batches = TrainingBatches(tiny_examples(), 4, seed=2)
    teacher, learning, stepping = context.task_teacher, _model(context), _model(context)
    first = weight_values(learning)
    learner = Learner(learning, context.objective, 11, context.task, teacher.specs)
    variables = stepping.trainable_variables
    optimizer = build_optimizer(variables, _RATE, None)

    def loss_fn(batch, dropout_seed):
        inputs = {name: batch[name] for name in MODEL_INPUTS}
        outputs = stepping(inputs, training=True, dropout_seed=dropout_seed)
        return context.objective.compare(teacher(inputs), outputs, batch)

    step_fn = TrainingStep(
        variables=variables,
        loss_fn=loss_fn,
        optimizer=optimizer,
        strategy=tf.distribute.get_strategy(),
        seed=11,
        clip_norm=_CLIP,
    )
    losses, norms = [], []
    for step in range(_STEPS):
        batch = {name: tf.constant(array) for name, array in batches[step].items()}
        teacher_outputs = teacher({name: batch[name] for name in MODEL_INPUTS})
        loss = learner.learn(batch, teacher_outputs, step, _RATE)
        figures = step_fn(batches[step], step)
        losses.append((loss, figures["loss"]))
        norms.append(figures["gradient_norm"])
    learner.weights.write_back()
    return first, weight_values(learning), weight_values(stepping), losses, norms


def test_training_the_vectors_equals_training_the_model_s_variables(trained):
    first, flat, separate, losses, norms = trained
    assert min(norms) > _CLIP
    for one, other in losses:
        assert one == pytest.approx(other, rel=1e-5)
    assert len(flat) == len(separate) == len(first)
    for (path, value), expected, before in zip(
        flat.items(), separate.values(), first.values(), strict=True
    ):
        np.testing.assert_allclose(value, expected, atol=1e-5, err_msg=path)
        assert np.abs(value - before).max() > 0.01, path


def test_the_padding_row_stays_zero(trained):
    (table,) = (value for path, value in trained[1].items() if path.endswith("token_table"))
    assert not table[0].any()
    assert np.abs(table[1:]).min(axis=-1).all()


def test_with_zero_gradients_only_kernels_decay(context):
    weights = FlatWeights(_model(context))
    before = [vector.numpy() for vector in weights.variables]
    optimizer = build_optimizer(weights.variables, _RATE, None)
    optimizer.apply([tf.zeros_like(vector.value) for vector in weights.variables])
    np.testing.assert_allclose(weights.variables[0], before[0] * (1 - 0.01 * _RATE), rtol=1e-6)
    np.testing.assert_array_equal(weights.variables[1], before[1])
