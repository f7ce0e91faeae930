import itertools
import math

import numpy as np
import pytest

from tf_efficientbert.metrics.paired import mean_paired_difference, paired_difference
from tf_efficientbert.tasks import METRICS, Classification, MultiLabel, Regression

_MOOD = Classification("mood", ("sad", "so so", "glad"), pair=False)


def _logits(answers, classes=3):
    return np.eye(classes)[np.asarray(answers)]


def _answers_with(both, ours, theirs, neither):
    """Labels all 0, and answers that so many examples are right in."""
    counts = (both, ours, theirs, neither)
    rights = (True, True), (True, False), (False, True), (False, False)
    rows = [right for right, count in zip(rights, counts, strict=True) for _ in range(count)]
    wrong = ~np.array(rows)
    return _logits(wrong[:, 0].astype(int)), _logits(wrong[:, 1].astype(int)), np.zeros(len(rows))


def test_accuracies_differ_by_the_examples_that_one_model_alone_has_right():
    ours, theirs, labels = _answers_with(both=80, ours=9, theirs=3, neither=8)
    found = paired_difference(_MOOD, ours, theirs, labels)
    # The differences by example are nine times 1, three times -1 and else 0.
    by_example = np.array([1] * 9 + [-1] * 3 + [0] * 88)
    # P(at most 3 of 12 coins) = (1 + 12 + 66 + 220) / 4096, on both sides.
    assert found == {
        "metric": "accuracy",
        "difference": pytest.approx(0.06),
        "standard_error": pytest.approx(by_example.std() / 10),
        "p_value": pytest.approx(2 * 299 / 4096),
    }


def test_the_p_value_of_accuracies_is_that_of_all_ways_to_divide_the_examples():
    for gained, lost in itertools.product(range(6), repeat=2):
        found = paired_difference(_MOOD, *_answers_with(4, gained, lost, 2))
        coins = [sum(way) for way in itertools.product((0, 1), repeat=gained + lost)]
        uneven = abs(2 * gained - (gained + lost))
        as_uneven = sum(abs(2 * heads - (gained + lost)) >= uneven for heads in coins)
        assert found["p_value"] == pytest.approx(as_uneven / len(coins))


def test_a_large_set_has_a_p_value():
    found = paired_difference(_MOOD, *_answers_with(0, 10_000, 10_200, 0))
    # As the normal distribution has it, with a correction for whole numbers.
    z = (200 - 1) / math.sqrt(20_200)
    assert found["p_value"] == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-3)


def test_swapped_models_have_the_opposite_difference():
    ours, theirs, labels = _answers_with(5, 4, 1, 2)
    there = paired_difference(_MOOD, ours, theirs, labels)
    back = paired_difference(_MOOD, theirs, ours, labels)
    assert back == there | {"difference": -there["difference"]}


@pytest.mark.parametrize(
    ("task", "logits", "labels"),
    [
        (_MOOD, _logits([0, 1, 2, 1]), [0, 1, 1, 1]),
        (Classification("m", ("a", "b"), False, ("macro_f1",)), _logits([0, 1, 1], 2), [0, 1, 0]),
        (Classification("m", ("a", "b"), False, ("matthews",)), _logits([0, 1, 1], 2), [0, 1, 0]),
        (MultiLabel("m", ("a", "b"), False), [[1.0, -1], [2, 2]], [[1, 0], [0, 1]]),
        (Regression("m", (), False), [0.1, 0.2, 0.9], [1.0, 2, 3]),
        (Regression("m", (), False, ("spearman",)), [0.1, 0.2, 0.9], [1.0, 2, 3]),
    ],
)
def test_models_that_answer_alike_do_not_differ(task, logits, labels):
    logits, labels = np.array(logits), np.array(labels)
    assert paired_difference(task, logits, logits * 1.0, labels) == {
        "metric": task.metrics[0],
        "difference": 0.0,
        "standard_error": 0.0,
        "p_value": 1.0,
    }


def test_a_correlation_s_error_is_that_of_all_resamples():
    task = Regression("likeness", (), pair=False)
    labels = np.array([1.0, 2, 3, 4, 5])
    ours, theirs = np.array([1.0, 2, 3, 5, 4]), np.array([2.0, 1, 5, 3, 4])

    def difference(rows):
        rows = list(rows)
        score = METRICS["pearson"]
        return score(ours[rows], labels[rows]) - score(theirs[rows], labels[rows])

    every = np.array([difference(rows) for rows in itertools.product(range(5), repeat=5)])
    observed = difference(range(5))
    found = paired_difference(task, ours, theirs, labels)
    assert found["difference"] == pytest.approx(observed)
    assert found["standard_error"] == pytest.approx(every.std(), rel=0.1)
    as_far = np.mean(np.abs(every - observed) >= abs(observed))
    assert found["p_value"] == pytest.approx(as_far, abs=0.05)


def test_a_bootstrapped_error_is_that_of_fresh_examples():
    """The share of right answers as macro F1 of two even classes has it, nearly."""
    task = Classification("mood", ("sad", "glad"), False, ("macro_f1", "accuracy"))
    draws = np.random.default_rng(0)
    labels = np.arange(400) % 2
    ours = np.where(draws.random(400) < 0.9, labels, 1 - labels)
    theirs = np.where(draws.random(400) < 0.7, labels, 1 - labels)
    found = paired_difference(task, _logits(ours, 2), _logits(theirs, 2), labels)
    by_example = (ours == labels).astype(float) - (theirs == labels)
    assert found["metric"] == "macro_f1"
    assert found["difference"] == pytest.approx(by_example.mean(), abs=0.01)
    assert found["standard_error"] == pytest.approx(by_example.std() / 20, rel=0.1)
    assert found["p_value"] < 0.01
    assert found == paired_difference(task, _logits(ours, 2), _logits(theirs, 2), labels)


def test_each_model_answers_by_thresholds_of_its_own():
    task = MultiLabel("topics", ("a", "b"), False, ("accuracy",))
    strict = MultiLabel("topics", ("a", "b"), False, ("accuracy",), thresholds=(0.9, 0.9))
    logits, labels = np.array([[1.0, -1], [1, -1], [-1, -1]]), np.array([[1, 0], [1, 0], [0, 0]])
    found = paired_difference(task, logits, logits, labels, their_task=strict)
    assert found["difference"] == pytest.approx(2 / 3)


def test_the_mean_difference_of_one_seed_is_the_paired_difference():
    ours, theirs, labels = _answers_with(both=80, ours=9, theirs=3, neither=8)
    alone = paired_difference(_MOOD, ours, theirs, labels)
    found = mean_paired_difference(_MOOD, [ours], [theirs], labels)
    assert found["difference"] == pytest.approx(alone["difference"])
    assert found["range"] == [found["difference"]] * 2
    # A bootstrap of 1,000 resamples knows a deviation to about 2%.
    assert found["standard_error"] == pytest.approx(alone["standard_error"], rel=0.1)


def test_the_mean_difference_is_that_of_the_seeds():
    first, theirs, labels = _answers_with(both=80, ours=9, theirs=3, neither=8)
    second, other, _ = _answers_with(both=70, ours=4, theirs=16, neither=10)
    found = mean_paired_difference(_MOOD, [first, second], [theirs, other], labels)
    assert found["metric"] == "accuracy"
    assert found["difference"] == pytest.approx((0.06 - 0.12) / 2)
    assert found["range"] == pytest.approx([-0.12, 0.06])


def test_equal_models_have_no_difference_over_any_seeds():
    ours, _, labels = _answers_with(5, 4, 1, 2)
    found = mean_paired_difference(_MOOD, [ours, ours], [ours, ours], labels)
    assert (found["difference"], found["standard_error"], found["range"]) == (0, 0, [0, 0])
