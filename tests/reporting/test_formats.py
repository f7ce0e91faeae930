import math

import pytest

from tf_efficientbert.reporting import formats


def plain(shown: str) -> str:
    return shown.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "–"),
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.96, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.9, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (86_399, "1 d 0 h"),
        (58 * 86_400, "58 d 0 h"),
    ],
)
def test_duration_has_its_two_largest_units(seconds, shown):
    assert plain(formats.duration(seconds)) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (512, "512"),
        (48_230, "48.2 k"),
        (5_400_000, "5.40 M"),
        (15_738_000, "15.74 M"),
        (209_000_000, "209 M"),
        (1.53e9, "1.53 G"),
    ],
)
def test_count_has_its_unit(value, shown):
    assert plain(formats.count(value)) == shown


def test_score_is_in_percent_only_if_the_metric_is_a_share():
    assert plain(formats.score(0.8123, "accuracy", 0.0171)) == "81.2 ± 1.7 %"
    assert plain(formats.score(-0.05, "matthews")) == "−5.0 %"
    assert plain(formats.score(0.4312, "loss")) == "0.4312"
    assert formats.score(None, "accuracy") == "–"


@pytest.mark.parametrize("value", [None, True, "1", math.nan, math.inf, 10**400, 1e200, [], {}])
def test_values_that_cannot_be_drawn_give_none(value):
    assert formats.finite(value) is None


@pytest.mark.parametrize(
    ("metric", "shown"),
    [("macro_f1", "macro F1"), ("micro_f1", "micro F1"), ("f1", "F1"), ("accuracy", "accuracy")],
)
def test_a_share_is_named_in_words_and_shown_in_percent(metric, shown):
    assert formats.metric_name(metric) == shown
    assert formats.is_share(metric)


def test_a_gap_has_a_sign_unless_it_is_zero():
    assert plain(formats.gap(0.0132, "macro_f1", 0.021)) == "+1.3 ± 2.1"
    assert plain(formats.gap(-0.0132, "accuracy")) == "−1.3"
    assert plain(formats.gap(0.0, "accuracy", 0.01)) == "0.0 ± 1.0"
    assert formats.gap(-0.0001, "accuracy") == "0.0"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1.0, "p = 1"), (0.1824, "p = 0.18"), (0.0042, "p = 0.0042"), (0.0004, "p < 0.001")],
)
def test_a_p_value_has_two_digits(value, shown):
    assert formats.p_value(value) == shown
