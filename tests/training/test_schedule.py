import numpy as np
import pytest

from tf_efficientbert.training.schedule import LinearWarmupDecay


def _plain(step, peak, total, warmup):
    """Returns the rate in the middle of a step."""
    position = (step + 0.5) / total
    if position < warmup:
        return peak * position / warmup
    return peak * (1 - position) / (1 - warmup)


@pytest.mark.parametrize("total", [1, 2, 7, 1000])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_the_rate_rises_to_the_peak_and_falls_to_zero(total, warmup):
    schedule = LinearWarmupDecay(3e-4, total, warmup)
    rates = [float(schedule(step)) for step in range(total)]
    expected = [_plain(step, 3e-4, total, warmup) for step in range(total)]
    np.testing.assert_allclose(rates, expected, rtol=1e-5, atol=3e-10)
    assert all(0 < rate < 3.0001e-4 for rate in rates)


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
