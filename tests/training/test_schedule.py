import numpy as np
import pytest

from tf_efficientbert.training.schedule import LinearWarmupDecay


def _rates(schedule, steps):
    return np.asarray(schedule(np.arange(steps)))


@pytest.mark.parametrize(
    ("warmup", "expected"),
    [
        # A step's rate is the one in the middle of its interval.
        (0.2, [0.25, 0.75, 0.9375, 0.8125, 0.6875, 0.5625, 0.4375, 0.3125, 0.1875, 0.0625]),
        (0.5, [0.25, 0.75, 0.75, 0.25]),
        (0.0, [0.875, 0.625, 0.375, 0.125]),
        (0.1, [1, 7 / 9, 5 / 9, 3 / 9, 1 / 9]),
        (0.1, [5 / 9]),  # the only step is past the warm-up
    ],
)
def test_the_rates_of_short_trainings(warmup, expected):
    schedule = LinearWarmupDecay(3e-4, len(expected), warmup)
    np.testing.assert_allclose(_rates(schedule, len(expected)), 3e-4 * np.array(expected), 1e-6)


def test_by_default_the_first_tenth_of_the_steps_warms_up():
    rates = _rates(LinearWarmupDecay(3e-4, 1000), 1000)
    expected = np.interp(np.arange(1000) + 0.5, [0, 100, 1000], [0, 3e-4, 0])
    np.testing.assert_allclose(rates, expected, rtol=1e-5, atol=3e-10)


@pytest.mark.parametrize("total", [1, 2, 7, 1000])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 0.99])
def test_rates_rise_to_the_peak_then_fall_and_every_step_learns(total, warmup):
    rates = _rates(LinearWarmupDecay(1.0, total, warmup), total)
    assert np.all((rates > 0) & (rates <= 1))
    changes, end_of_warmup = np.diff(rates), warmup * total
    assert np.all(changes[: max(int(end_of_warmup - 0.5), 0)] > 0)
    assert np.all(changes[int(np.ceil(end_of_warmup)) :] < 0)


def test_after_the_last_step_the_rate_is_zero():
    schedule = LinearWarmupDecay(1.0, 10)
    assert [float(schedule(step)) for step in (10, 11, 1000)] == [0, 0, 0]


def test_a_schedule_is_restored_from_its_config():
    schedule = LinearWarmupDecay(2e-3, 40, 0.25)
    copy = LinearWarmupDecay.from_config(schedule.get_config())
    for step in (0, 5, 20, 39):
        assert float(copy(step)) == float(schedule(step))


@pytest.mark.parametrize(
    ("total", "warmup", "message"),
    [
        (0, 0.1, "total_steps must be positive, but got 0"),
        (-3, 0.1, "total_steps must be positive, but got -3"),
        (10, 1.0, r"warmup_fraction must be in \[0, 1\), but got 1.0"),
        (10, -0.1, r"warmup_fraction must be in \[0, 1\), but got -0.1"),
    ],
)
def test_invalid_steps_and_fractions_are_rejected(total, warmup, message):
    with pytest.raises(ValueError, match=message):
        LinearWarmupDecay(1e-3, total, warmup)
