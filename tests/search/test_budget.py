from dataclasses import FrozenInstanceError

import pytest

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.search.budget import Budget

EFFICIENTBERT = Architecture.from_preset("efficientbert")


def test_the_published_network_is_within_the_published_budget():
    budget = Budget(15_000_000, 16_000_000, 768, 30522, 512)
    assert budget.parameters(EFFICIENTBERT) == EFFICIENTBERT.count_parameters()
    assert budget.holds(EFFICIENTBERT)


def test_bounds_are_inclusive():
    exact = EFFICIENTBERT.count_parameters()
    assert Budget(exact, exact, 768, 30522, 512).holds(EFFICIENTBERT)
    assert not Budget(exact + 1, exact + 1, 768, 30522, 512).holds(EFFICIENTBERT)
    assert not Budget(0, exact - 1, 768, 30522, 512).holds(EFFICIENTBERT)


def test_parameters_include_fit_projection_vocabulary_and_positions():
    counted = Budget(0, 1, None, 1000, 128).parameters(EFFICIENTBERT)
    assert counted == EFFICIENTBERT.count_parameters(None, 1000, 128)
    assert counted < EFFICIENTBERT.count_parameters(768, 1000, 128)


@pytest.mark.parametrize(
    ("minimum", "maximum", "message"),
    [
        (2, 1, r"minimum \(2\) must not be above maximum \(1\)"),
        (-1, 1, "minimum must not be negative, got -1"),
        (0, -5, "maximum must not be negative, got -5"),
    ],
)
def test_impossible_bounds_are_rejected(minimum, maximum, message):
    with pytest.raises(ValueError, match=message):
        Budget(minimum, maximum, 768, 30522, 512)


def test_a_budget_is_immutable():
    with pytest.raises(FrozenInstanceError):
        Budget(0, 1, 768, 30522, 512).maximum = 2
