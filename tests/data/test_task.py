import numpy as np
import pytest

from tf_efficientbert.data.task import Examples, Task
from tf_efficientbert.errors import UserError


def test_a_classification_task_has_an_output_per_label_and_is_scored_by_accuracy():
    task = Task("mood", ("sad", "glad", "so so"), pair=False)
    assert (task.num_outputs, task.is_regression, task.metrics) == (3, False, ("accuracy",))


def test_a_task_without_labels_is_a_regression_with_one_output():
    task = Task("likeness", (), pair=True)
    assert (task.num_outputs, task.is_regression) == (1, True)
    assert task.metrics == ("pearson", "spearman")


def test_tasks_are_hashable_and_compare_by_value_even_when_made_from_lists():
    assert {Task("mood", ["sad", "glad"], pair=False)} == {Task("mood", ("sad", "glad"), False)}


@pytest.mark.parametrize("labels", [("only",), ("yes", "no", "yes")])
def test_one_label_or_a_repeated_one_is_refused(labels):
    with pytest.raises(UserError, match=f"'mood'.*{labels[0]}"):
        Task("mood", labels, pair=False)


def test_examples_are_as_many_as_their_sentences():
    assert len(Examples(("a", "b"), None, None)) == 2


@pytest.mark.parametrize(
    "parts",
    [(("only one",), None), (None, np.zeros(3, np.int32))],
    ids=["second sentences", "labels"],
)
def test_examples_of_unequal_parts_are_refused(parts):
    with pytest.raises(ValueError, match="2 sentences but [13]"):
        Examples(("a", "b"), *parts)
