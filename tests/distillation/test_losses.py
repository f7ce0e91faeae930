import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.numpy_layers import softmax
from tf_efficientbert.distillation.losses import (
    attention_loss,
    contrastive_loss,
    cosine_loss,
    hidden_loss,
    relation_loss,
)
from tf_efficientbert.tasks.classification import prediction_loss
from tf_efficientbert.tasks.regression import regression_loss
from tf_efficientbert.tasks.span import span_loss

_LENGTHS = (6, 4, 1)
_MASK = (np.arange(6) < np.array(_LENGTHS)[:, None]).astype("int32")


def _draw(*shape, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(scale=scale, size=shape).astype("float32")


def _scores(layers, seed, heads=2):
    """Attention scores with masked padding, [batch, heads, tokens, tokens] per layer."""
    bias = -10_000.0 * (1 - _MASK)[:, None, None, :].astype("float32")
    return [_draw(3, heads, 6, 6, seed=seed + i) + bias for i in range(layers)]


def _states(layers, seed):
    return [_draw(3, 6, 5, seed=seed + i) for i in range(layers + 1)]


def _visible(scores):
    return np.where(scores <= -100, 0.0, scores.astype(float))


def _mean_square(a, b):
    return np.mean((a.astype(float) - b.astype(float)) ** 2)


def _plain_attention_loss(teacher, student, chosen):
    pairs = zip((teacher[i] for i in chosen), student, strict=True)
    return sum(_mean_square(_visible(a), _visible(b)) for a, b in pairs)


def _plain_hidden_loss(teacher, student, chosen):
    pairs = zip([teacher[0], *(teacher[i + 1] for i in chosen)], student, strict=True)
    return sum(_mean_square(a, b) for a, b in pairs)


def _cross_entropies(teacher, student, temperature=1.0):
    """-p log q of each element."""
    p, q = (softmax(logits.astype(float) / temperature) for logits in (teacher, student))
    return -p * np.log(q)


# Teacher layers, student layers, the teacher layer of each.
_DEPTHS = [(6, 3, [1, 3, 5]), (2, 2, [0, 1]), (5, 2, [2, 4])]


@pytest.mark.parametrize(("teachers", "students", "chosen"), _DEPTHS)
def test_the_attention_loss_is_the_sum_of_mean_squared_errors(teachers, students, chosen):
    teacher, student = _scores(teachers, seed=1), _scores(students, seed=100)
    expected = _plain_attention_loss(teacher, student, chosen)
    assert float(attention_loss(teacher, student)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("teachers", "students", "chosen"), _DEPTHS)
def test_the_hidden_loss_includes_the_embedding_and_the_layers(teachers, students, chosen):
    teacher, student = _states(teachers, seed=1), _states(students, seed=100)
    expected = _plain_hidden_loss(teacher, student, chosen)
    assert float(hidden_loss(teacher, student)) == pytest.approx(expected, rel=1e-5)


def test_the_masked_attention_loss_equals_that_of_cropped_examples():
    teacher, student = _scores(6, seed=1), _scores(3, seed=100)

    def cropped(layers, row, length):
        return [scores[row : row + 1, :, :length, :length] for scores in layers]

    alone = [
        _plain_attention_loss(cropped(teacher, row, n), cropped(student, row, n), [1, 3, 5])
        for row, n in enumerate(_LENGTHS)
    ]
    loss = attention_loss(teacher, student, padding_mask=_MASK)
    assert float(loss) == pytest.approx(np.mean(alone), rel=1e-5)


def test_the_masked_hidden_loss_equals_that_of_cropped_examples():
    teacher, student = _states(6, seed=1), _states(3, seed=100)

    def cropped(states, row, length):
        return [state[row : row + 1, :length] for state in states]

    alone = [
        _plain_hidden_loss(cropped(teacher, row, n), cropped(student, row, n), [1, 3, 5])
        for row, n in enumerate(_LENGTHS)
    ]
    loss = hidden_loss(teacher, student, padding_mask=_MASK)
    assert float(loss) == pytest.approx(np.mean(alone), rel=1e-5)


def test_with_a_padding_mask_values_at_padding_are_ignored():
    scores, states = (_scores(2, 1), _scores(2, 9)), (_states(2, 1), _states(2, 9))
    real = _MASK.astype(bool)
    pairs = (real[:, :, None] & real[:, None, :])[:, None]
    noisy_scores = [np.where(pairs, layer, layer + 3) for layer in scores[1]]
    noisy_states = [np.where(real[..., None], state, state + 3) for state in states[1]]
    for loss, (teacher, student), noisy in (
        (attention_loss, scores, noisy_scores),
        (hidden_loss, states, noisy_states),
    ):
        left_out = [float(loss(teacher, side, padding_mask=_MASK)) for side in (student, noisy)]
        counted = [float(loss(teacher, side)) for side in (student, noisy)]
        assert left_out[0] == left_out[1]
        assert counted[0] != pytest.approx(counted[1], rel=0.1)


def test_a_mask_of_ones_has_no_effect():
    everything = np.ones_like(_MASK)
    for loss, draw in ((attention_loss, _scores), (hidden_loss, _states)):
        teacher, student = draw(2, 1), draw(2, 9)
        expected = pytest.approx(float(loss(teacher, student)), rel=1e-5)
        assert float(loss(teacher, student, padding_mask=everything)) == expected


def test_scores_of_minus_100_or_less_count_as_zero():
    one = np.full((1, 1, 1, 1), 1.0, "float32")
    assert float(attention_loss([one * -100], [one * 2])) == 4
    assert float(attention_loss([one * 2], [one * -1e4])) == 4
    assert float(attention_loss([one * -99], [one])) == 100**2


def test_different_numbers_of_heads_are_rejected():
    with pytest.raises(ValueError, match="equal heads: teacher 2, student 4"):
        attention_loss(_scores(2, 1), _scores(2, 9, heads=4))


@pytest.mark.filterwarnings("ignore:You are using a softmax over axis -1")
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("classes", [1, 2, 7])
def test_the_prediction_loss_is_the_mean_over_all_elements(temperature, classes):
    teacher, student = (_draw(5, classes, seed=seed, scale=3) for seed in (1, 2))
    expected = _cross_entropies(teacher, student, temperature)
    loss = prediction_loss(teacher, student, temperature)
    assert float(loss) == pytest.approx(expected.mean(), rel=1e-5)
    summed = prediction_loss(teacher, student, temperature, sum_over_classes=True)
    assert float(summed) == pytest.approx(expected.sum(-1).mean(), rel=1e-5)


def test_the_prediction_loss_is_minimal_for_equal_predictions():
    teacher = _draw(5, 3, seed=1)
    at_best = float(prediction_loss(teacher, teacher))
    assert at_best == pytest.approx(float(prediction_loss(teacher, teacher + 7)), rel=1e-5)
    assert at_best < float(prediction_loss(teacher, _draw(5, 3, seed=2)))


def test_huge_logits_give_a_finite_prediction_loss():
    teacher, student = np.array([[1e4, 0.0]], "float32"), np.array([[0.0, 1e4]], "float32")
    assert float(prediction_loss(teacher, student)) == pytest.approx(5e3)


def _span_logits(seed):
    return _draw(3, 6, seed=seed), _draw(3, 6, seed=seed + 1)


@pytest.mark.parametrize("mask_first", [True, False])
def test_the_span_loss_is_start_plus_end_over_the_unmasked_positions(mask_first):
    mask = _MASK[:2]
    teacher, student = ([end[:2] for end in _span_logits(seed)] for seed in (1, 5))
    expected = 0.0
    for one, other in zip(teacher, student, strict=True):
        for row, length in enumerate(_LENGTHS[:2]):
            open_ = slice(1 if mask_first else 0, length)
            # The mean is over all six positions; masked ones contribute 0.
            expected += _cross_entropies(one[row, open_], other[row, open_]).sum() / (6 * 2)
    loss = span_loss(teacher, student, mask, mask_first=mask_first)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_the_first_token_is_masked_by_default():
    teacher, student = _span_logits(1), _span_logits(5)
    moved = [end + 4 * np.eye(6, dtype="float32")[0] for end in student]
    for mask_first in (True, False):
        losses = [float(span_loss(teacher, s, _MASK[:1], mask_first)) for s in (student, moved)]
        assert (losses[0] == pytest.approx(losses[1], rel=1e-6)) is mask_first
    default = float(span_loss(teacher, student, _MASK))
    assert default == float(span_loss(teacher, student, _MASK, mask_first=True))


def test_span_logits_at_padding_are_ignored():
    mask = _MASK[:2]
    teacher, student = ([end[:2] for end in _span_logits(seed)] for seed in (1, 5))
    noisy = [end + 9 * (1 - mask).astype("float32") for end in student]
    losses = [float(span_loss(teacher, side, mask)) for side in (student, noisy)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_the_regression_loss_is_the_mean_squared_error():
    labels, predictions = _draw(9, seed=1), _draw(9, seed=2)
    expected = _mean_square(labels, predictions)
    assert float(regression_loss(labels, predictions)) == pytest.approx(expected, rel=1e-5)


def _all_losses(scores, states, logits, mask):
    """Returns all losses between the first and second element of each pair."""
    spans = [(state[..., 0], state[..., 1]) for state in (states[0][0], states[1][0])]
    return [
        attention_loss(*scores),
        attention_loss(*scores, padding_mask=mask),
        hidden_loss(*states),
        hidden_loss(*states, padding_mask=mask),
        prediction_loss(*logits),
        span_loss(*spans, mask),
        regression_loss(logits[0][:, 0], logits[1][:, 0]),
        relation_loss(states[0][1], states[1][1], 5, mask),
        cosine_loss(*logits),
        contrastive_loss(*logits),
    ]


def _everything():
    scores, states = (_scores(2, 1), _scores(2, 9)), (_states(2, 1), _states(2, 9))
    return scores, states, (_draw(3, 4, seed=1), _draw(3, 4, seed=2)), _MASK


def test_losses_of_bfloat16_tensors_are_computed_in_float32():
    *halves, mask = keras.tree.map_structure(
        lambda value: tf.constant(value) if value is _MASK else tf.cast(value, tf.bfloat16),
        list(_everything()),
    )
    again = keras.tree.map_structure(lambda value: tf.cast(value, tf.float32), halves)
    for rounded, exact in zip(_all_losses(*halves, mask), _all_losses(*again, mask), strict=True):
        assert keras.backend.standardize_dtype(rounded.dtype) == "float32"
        assert rounded.shape == ()
        assert float(rounded) == float(exact)


def test_losses_can_be_traced_with_an_unknown_batch_and_unknown_lengths():
    axes = [[None, 2, None, None], [None, None, 5], [None, 4], [None, None]]
    values = keras.tree.map_structure(tf.constant, list(_everything()))

    def spec(part, index):
        return keras.tree.map_structure(lambda v: tf.TensorSpec(axes[index], v.dtype), part)

    signature = [spec(part, index) for index, part in enumerate(values)]
    traced = tf.function(_all_losses, input_signature=signature)(*values)
    expected = [float(loss) for loss in _all_losses(*values)]
    assert [float(loss) for loss in traced] == pytest.approx(expected, rel=1e-5)


# === Relations (MiniLMv2) ===


def _plain_relation_loss(teacher, student, heads):
    """Loops over examples, heads and real tokens, in float64."""
    by_example = []
    for row, length in enumerate(_LENGTHS):
        divergences = []
        for head in range(heads):
            relations = []
            for vectors in (teacher, student):
                size = vectors.shape[-1] // heads
                part = vectors[row, :length, head * size : (head + 1) * size].astype(float)
                relations.append(softmax(part @ part.T / np.sqrt(size)))
            p, q = relations
            divergences += list((p * np.log(p / q)).sum(axis=-1))
        by_example.append(np.mean(divergences))
    return np.mean(by_example)


@pytest.mark.parametrize("heads", [1, 2, 6])
@pytest.mark.parametrize("widths", [(12, 12), (24, 6)])
def test_the_relation_loss_is_the_mean_divergence_over_heads_and_real_tokens(heads, widths):
    teacher, student = (_draw(3, 6, width, seed=width + i) for i, width in enumerate(widths))
    loss = float(relation_loss(teacher, student, heads, _MASK))
    assert loss == pytest.approx(_plain_relation_loss(teacher, student, heads), rel=1e-5)
    assert loss > 0.01


def test_the_relation_loss_ignores_padding():
    teacher, student = _draw(3, 6, 12, seed=1), _draw(3, 6, 8, seed=2)
    expected = float(relation_loss(teacher, student, 2, _MASK))
    changed = teacher + 5.0 * (1 - _MASK)[..., None]
    assert float(relation_loss(changed, student, 2, _MASK)) == pytest.approx(expected, rel=1e-6)
    wider = [np.pad(vectors, ((0, 0), (0, 3), (0, 0))) for vectors in (teacher, student)]
    mask = np.pad(_MASK, ((0, 0), (0, 3)))
    assert float(relation_loss(*wider, 2, mask)) == pytest.approx(expected, rel=1e-6)


def test_equal_relations_have_no_loss_although_the_vectors_differ():
    vectors = _draw(3, 6, 8)
    rotation, _ = np.linalg.qr(_draw(8, 8, seed=4))
    assert float(relation_loss(vectors, vectors @ rotation, 1, _MASK)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("widths", [(12, 8), (8, 12)])
def test_relation_heads_must_divide_both_widths(widths):
    vectors = [_draw(3, 6, width) for width in widths]
    with pytest.raises(ValueError, match="a width of 8 is not divisible by 3 relation heads"):
        relation_loss(*vectors, 3, _MASK)


# === Pooled vectors ===


def _cosines(students, teachers):
    unit = [
        v.astype(float) / np.linalg.norm(v, axis=-1, keepdims=True) for v in (students, teachers)
    ]
    return unit[0] @ unit[1].T


def test_the_cosine_loss_is_one_minus_the_mean_cosine():
    teacher, student = _draw(5, 7, seed=1), _draw(5, 7, seed=2)
    expected = 1 - np.mean(np.diag(_cosines(student, teacher)))
    assert float(cosine_loss(teacher, student)) == pytest.approx(expected, rel=1e-5)
    assert float(cosine_loss(teacher, 3.0 * teacher)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_the_contrastive_loss_is_the_cross_entropy_of_the_own_teacher_vector(temperature):
    teacher, student = _draw(5, 7, seed=1), _draw(5, 7, seed=2)
    probabilities = softmax(_cosines(student, teacher) / temperature)
    expected = -np.mean(np.log(np.diag(probabilities)))
    loss = float(contrastive_loss(teacher, student, temperature))
    assert loss == pytest.approx(expected, rel=1e-4)
    # Vectors that fit other texts of the batch as well teach less.
    assert float(contrastive_loss(teacher, teacher, temperature)) < loss
