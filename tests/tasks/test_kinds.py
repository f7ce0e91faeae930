import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.small_text_models import TASKS, random_labels
from tf_efficientbert.errors import UserError
from tf_efficientbert.tasks import (
    LABELLED_KINDS,
    Classification,
    MultiLabel,
    Prediction,
    Regression,
    Span,
    recognized_kind,
    task_from_dict,
)

_MOOD = Classification("mood", ("sad", "so so", "glad"), pair=False)
_SCRIPTS = Classification("scripts", ("می‌خواهم", "👩‍🚀", "très\u00a0bien"), pair=False)
_TOPICS = MultiLabel("topics", ("Sports, Outdoor", "Tech & Co", "\u6771\u4eac"), pair=False)


def test_a_kind_has_metrics_of_its_own():
    assert _MOOD.metrics == ("accuracy",)
    assert Regression("likeness", (), pair=True).metrics == ("pearson", "spearman")
    assert _TOPICS.metrics == ("micro_f1", "macro_f1")


def test_tasks_are_hashable_and_compare_by_value_even_when_made_from_lists():
    assert {Classification("m", ["a", "b"], False)} == {Classification("m", ("a", "b"), False)}
    assert Classification("m", ("a", "b"), False) != MultiLabel("m", ("a", "b"), False)


@pytest.mark.parametrize("labels", [("only",), ("yes", "no", "yes")])
@pytest.mark.parametrize("kind", [Classification, MultiLabel])
def test_one_label_or_a_repeated_one_is_refused(kind, labels):
    with pytest.raises(UserError, match=f"'mood'.*{labels[0]}"):
        kind("mood", labels, pair=False)


def test_a_metric_that_does_not_go_with_the_kind_is_refused():
    with pytest.raises(UserError, match="metric 'pearson' does not fit a classification task"):
        Classification("m", ("a", "b"), False, metrics=("pearson",))
    with pytest.raises(UserError, match="'f1' needs two classes, but there are 3"):
        Classification("m", ("a", "b", "c"), False, metrics=("f1",))


@pytest.mark.parametrize("task", [*TASKS.values(), _TOPICS, Span("squad")], ids=lambda t: t.kind)
def test_a_task_comes_back_from_json(task):
    again = task_from_dict(json.loads(json.dumps(task.to_dict())))
    assert again == task and again.metrics == task.metrics


def test_what_was_saved_before_there_were_kinds_is_known_by_its_labels():
    old = {"name": "custom", "labels": ["a", "b"], "pair": False, "metrics": ["accuracy"]}
    assert task_from_dict(old) == Classification("custom", ("a", "b"), False)
    assert task_from_dict({**old, "labels": [], "metrics": []}) == Regression("custom", (), False)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["good", "bad"], Classification),
        (["1", "0", "2"], Classification),
        ([1, 0], Classification),
        ([True, False], Classification),
        ([str(i) for i in range(100)], Classification),
        ([str(i) for i in range(101)], Regression),
        (["1.5", "2", "-3e2"], Regression),
        (["1.5"] * 5 + [f"{i}.25" for i in range(95)] + ["unknown"], Regression),
        (["1", "2", "unknown"], Classification),
        ([["a"], ["a", "b"]], MultiLabel),
    ],
    ids=repr,
)
def test_the_kind_is_recognized_by_the_labels(values, kind):
    assert recognized_kind(values) is kind


def test_labels_are_sorted_numbers_by_value():
    assert Classification.labels_of(["b", "a", "b"]) == ("a", "b")
    assert Classification.labels_of(["10", "9", "1"]) == ("1", "9", "10")
    # Of equal value: not in the order that a set happens to have.
    assert Classification.labels_of(["1", "01", "+1", "00", "0"]) == ("0", "00", "+1", "01", "1")


def test_words_among_numbers_are_no_classes():
    assert Classification.labels_of(["0", "1"] * 10 + ["nan", "?"]) == ("0", "1")
    assert Classification.labels_of(["0", "1", "2"] + ["many"] * 2) == ("0", "1", "2", "many")


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("b|a", ["b", "a"]),
        ("", []),
        ([], []),
        (["c", 2], ["c", "2"]),
        ('["a", "b, c"]', ["a", "b, c"]),
        ("['a', \"it's\"]", ["a", "it's"]),  # as pandas writes a list into CSV
        ("[a]|b", ["[a]", "b"]),
    ],
    ids=repr,
)
def test_several_labels_are_read_from_lists_and_separated_text(value, names):
    assert MultiLabel.names_in(value, "|") == names


@pytest.mark.parametrize(
    ("task", "value", "target"),
    [
        (_MOOD, " so so ", 1),
        (Classification("n", ("0", "1"), False), 1, 1),
        (Classification("n", ("0", "1"), False), 1.0, 1),
        (Classification("n", ("0", "1"), False), "1.0", 1),
        (Classification("b", ("false", "true"), False), True, 1),
        (_SCRIPTS, "می‌خواهم", 0),  # with the joiner that the word is written with
        (_SCRIPTS, "👩‍🚀", 1),
        (_SCRIPTS, "très\u00a0bien", 2),
        (TASKS["regression"], " 2.5", 2.5),
        (_TOPICS, "Tech & Co|Sports, Outdoor", (1, 1, 0)),
        (_TOPICS, '["Tech & Co"]', (0, 1, 0)),
        (_TOPICS, "", (0, 0, 0)),
        (_TOPICS, [], (0, 0, 0)),
    ],
    ids=repr,
)
def test_a_label_of_a_file_has_a_target(task, value, target):
    assert task.target(value) == target


@pytest.mark.parametrize(
    ("task", "value", "problem"),
    [
        (_MOOD, "", "missing"),
        (_MOOD, None, "missing"),
        (_MOOD, float("nan"), "missing"),
        (_MOOD, "angry", "'angry' is not one of 'sad'"),
        (_MOOD, "a\nb", "line break"),
        (_MOOD, "a\u2028b", "line break"),
        (_MOOD, "a\x85b", "line break"),
        (_MOOD, "a\ud83d", "another control character"),
        (_MOOD, float("inf"), "neither text nor a whole number"),
        (_MOOD, 1.5, "neither text nor a whole number"),
        (_MOOD, ["sad"], "neither text nor a whole number"),
        (TASKS["regression"], "", "missing"),
        (TASKS["regression"], "nan", "not a finite number"),
        (TASKS["regression"], float("inf"), "not a finite number"),
        (TASKS["regression"], "1e39", "not a finite number"),
        (TASKS["regression"], True, "not a finite number"),
        (TASKS["regression"], "3,5", "not a finite number; write it with a decimal point"),
        (_MOOD, 10**400, "is not one of"),
        (_TOPICS, "Tech & Co|Cars", "'Cars' is not one of"),
        (_TOPICS, None, "missing"),
        (_TOPICS, '["Tech & Co", null]', "missing"),
    ],
    ids=repr,
)
def test_a_label_that_is_none_of_the_tasks_is_named(task, value, problem):
    with pytest.raises(ValueError, match=problem):
        task.target(value)


@pytest.mark.parametrize("kind", ["classification", "regression", "multilabel"])
def test_targets_are_shown_as_a_file_has_them(kind):
    task = TASKS[kind]
    labels = random_labels(task, np.random.default_rng(0), 12)
    shown = [task.target(task.shown(target)) for target in labels]
    np.testing.assert_array_equal(task.targets(shown), labels)


@pytest.mark.parametrize("kind", ["classification", "regression", "multilabel"])
def test_the_label_loss_in_a_graph_is_the_held_out_loss(kind):
    task, draws = TASKS[kind], np.random.default_rng(1)
    labels = random_labels(task, draws, 20)
    logits = draws.normal(size=(20, 3) if task.has_classes else 20).astype(np.float32)
    in_graph = float(task.label_loss(labels, {"logits": logits}))
    assert in_graph == pytest.approx(task.held_out_loss(logits, labels), rel=1e-5)


def test_several_labels_are_independent_of_each_other():
    task = MultiLabel("m", ("a", "b"), False)
    logits, labels = np.array([[2.0, -1.0]], np.float32), np.array([[1.0, 0.0]], np.float32)
    p = 1 / (1 + np.exp(-logits.astype(float)))
    expected = -np.mean([np.log(p[0, 0]), np.log(1 - p[0, 1])])
    assert float(task.label_loss(labels, {"logits": logits})) == pytest.approx(expected, rel=1e-6)
    soft = task.distillation_loss({"logits": logits}, {"logits": logits}, {}, 1.0, False)
    entropy = -np.mean(p * np.log(p) + (1 - p) * np.log(1 - p))
    assert float(soft) == pytest.approx(entropy, rel=1e-6)
    summed = task.distillation_loss({"logits": logits}, {"logits": logits}, {}, 1.0, True)
    assert float(summed) == pytest.approx(2 * entropy, rel=1e-6)


def test_thresholds_are_those_of_the_highest_f1_on_dev():
    task = MultiLabel("m", ("a", "b"), False)
    logits = np.array([[-3.0, 1.0], [-2.0, 2.0], [-1.0, 3.0], [-0.5, -4.0]], np.float32)
    labels = np.array([[0, 0], [0, 1], [1, 1], [1, 0]], np.float32)
    assert task.score(logits, labels)["micro_f1"] < 1
    fitted = task.fitted(logits, labels)
    assert fitted.score(logits, labels) == {"micro_f1": 1.0, "macro_f1": 1.0}
    assert fitted == task  # other thresholds make no other task
    assert task_from_dict(fitted.to_dict()).thresholds == fitted.thresholds


def test_the_answer_of_a_multi_label_model_names_all_its_labels():
    answers = _TOPICS.decode(np.array([[3.0, 1.0, -1.0], [-3.0, -2.0, -1.0]], np.float32))
    assert [answer.label for answer in answers] == ["Sports, Outdoor|Tech & Co", ""]
    assert answers[0].score == pytest.approx(1 / (1 + np.exp(-1)))
    assert answers[1].score == pytest.approx(1 - 1 / (1 + np.exp(1)))


def test_answers_are_worded_as_a_line_of_text_has_them():
    assert _MOOD.worded(Prediction("so so", 0.512)) == "so so (0.51)"
    assert _TOPICS.worded(Prediction("", 0.9)) == "no label (0.90)"
    assert TASKS["regression"].worded(Prediction("", 1.214)) == "1.21"


def test_dev_scores_are_those_at_the_thresholds_that_dev_gives():
    task = MultiLabel("m", ("a", "b"), False)
    logits = np.array([[-3.0, 1.0], [-2.0, 2.0], [-1.0, 3.0], [-0.5, -4.0]], np.float32)
    labels = np.array([[0, 0], [0, 1], [1, 1], [1, 0]], np.float32)
    assert task.dev_scores(logits, labels) == {"dev_micro_f1": 1.0, "dev_macro_f1": 1.0}


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]), st.booleans()), min_size=1))
def test_no_other_threshold_has_a_higher_f1(rows):
    probabilities = np.array([p for p, _ in rows], np.float32)
    labels = np.array([has for _, has in rows], np.float32)

    def f1(threshold):
        answered = probabilities >= threshold
        return 2 * (answered * labels).sum() / max(answered.sum() + labels.sum(), 1)

    task = MultiLabel("m", ("a", "b"), False)
    logits = np.log(probabilities / (1 - probabilities))[:, None].repeat(2, axis=1)
    threshold, _ = task.fitted(logits, labels[:, None].repeat(2, axis=1)).thresholds
    assert f1(threshold) == max(map(f1, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))) or not labels.any()


def test_class_weights_count_each_class_alike():
    weights = _MOOD.class_weights(np.array([0, 0, 0, 1]))
    assert weights.tolist() == pytest.approx([4 / 6, 2, 0])
    logits = np.zeros((4, 3), np.float32)
    weighted = _MOOD.label_loss(np.array([0, 0, 0, 1]), {"logits": logits}, weights)
    assert float(weighted) == pytest.approx(np.log(3), rel=1e-6)
    assert TASKS["regression"].class_weights(np.array([1.0])) is None


@pytest.mark.parametrize("task", [_MOOD, _TOPICS], ids=lambda task: task.kind)
def test_probabilities_come_back_from_teacher_logits(task):
    logits = np.random.default_rng(2).normal(size=(5, 3)).astype(np.float32)
    probabilities = np.asarray(task.probabilities(logits))
    again = np.asarray(task.probabilities(task.teacher_logits(probabilities)))
    np.testing.assert_allclose(again, probabilities, atol=1e-6)


def test_one_label_alone_teaches_nothing():
    assert "'glad'" in _MOOD.unlearnable(np.array([2, 2, 2]))
    assert _MOOD.unlearnable(np.array([2, 1])) is None
    assert TASKS["regression"].unlearnable(np.array([1.5, 1.5]))


def test_every_kind_that_files_can_have_is_listed_once():
    assert set(LABELLED_KINDS) == {"classification", "multilabel", "regression"}
