import pytest
from hypothesis import given
from hypothesis import strategies as st

from tf_efficientbert.data.double_array import double_array

_KEYS = st.binary(min_size=1, max_size=4).filter(lambda key: 0 not in key)


def _value(units, key: bytes) -> int | None:
    """Looks a key up as darts-clone does."""
    node = 0
    for byte in key:
        node ^= (int(units[node]) >> 10) ^ byte
        if int(units[node]) & 0x800000FF != byte:
            return None
    if not int(units[node]) & 0x100:
        return None
    return int(units[node ^ (int(units[node]) >> 10)]) & 0x7FFFFFFF


@given(st.dictionaries(_KEYS, st.integers(0, 2**31 - 1), min_size=1), st.lists(_KEYS))
def test_keys_have_their_values_and_others_none(values, others):
    units = double_array(values)
    assert {key: _value(units, key) for key in values} == values
    for other in others:
        assert _value(units, other) == values.get(other)


def test_many_keys_fit():
    values = {chr(code).encode(): code for code in range(1, 0x3000)}
    units = double_array(values)
    assert {key: _value(units, key) for key in values} == values
    assert _value(units, chr(0x3000).encode()) is None
    assert len(units) < 3 * len(values)


def test_values_that_do_not_fit_are_refused():
    with pytest.raises((ValueError, OverflowError)):
        double_array({b"a": 2**33})
