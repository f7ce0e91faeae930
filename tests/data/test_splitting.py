from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tf_efficientbert.data.splitting import split_by_text, stratified_draw

_SHARES = {"train": 80, "dev": 10, "test": 10}

_ROWS = st.lists(
    st.tuples(st.sampled_from("abcdefghijklmnop"), st.sampled_from(["good", "bad", 3])), max_size=60
)


def _split(rows, shares=_SHARES):
    return split_by_text([key for key, _ in rows], [stratum for _, stratum in rows], shares)


@given(_ROWS, st.randoms())
def test_splits_do_not_depend_on_the_order_of_rows(rows, random):
    shuffled = random.sample(rows, len(rows))
    before = {part: Counter(rows[i] for i in chosen) for part, chosen in _split(rows).items()}
    after = {part: Counter(shuffled[i] for i in c) for part, c in _split(shuffled).items()}
    assert before == after


@given(_ROWS)
def test_each_row_is_in_one_part_and_equal_texts_are_in_the_same(rows):
    parts = _split(rows)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(rows)))
    for chosen in parts.values():
        inside = {rows[i][0] for i in chosen}
        assert all(i in chosen for i, (key, _) in enumerate(rows) if key in inside)


@given(st.integers(10, 60), st.integers(10, 60))
def test_each_part_has_its_share_of_all_within_a_row_and_of_each_stratum_within_two(goods, bads):
    rows = [(f"good {i}", "good") for i in range(goods)]
    rows += [(f"bad {i}", "bad") for i in range(bads)]
    for part, chosen in _split(rows).items():
        counts = Counter(rows[i][1] for i in chosen)
        assert abs(len(chosen) - len(rows) * _SHARES[part] / 100) <= 1
        assert abs(counts["good"] - goods * _SHARES[part] / 100) < 2
        assert abs(counts["bad"] - bads * _SHARES[part] / 100) < 2


def test_shares_are_exact_if_divisible():
    rows = [(f"{label} {i}", label) for label in range(5) for i in range(20)]
    parts = _split(rows)
    for part, expected in {"train": 16, "dev": 2, "test": 2}.items():
        counts = Counter(rows[i][1] for i in parts[part])
        assert counts == dict.fromkeys(range(5), expected)


def test_shares_need_not_sum_to_100():
    rows = [(str(i), 0) for i in range(30)]
    sizes = {part: len(rows) for part, rows in _split(rows, {"train": 2, "dev": 1}).items()}
    assert sizes == {"train": 20, "dev": 10}


@pytest.mark.parametrize("of_each", [1, 2, 3, 4])
def test_shares_hold_for_small_strata_together(of_each):
    rows = [(f"{stratum} {i}", stratum) for stratum in range(150) for i in range(of_each)]
    sizes = {part: len(chosen) / len(rows) for part, chosen in _split(rows).items()}
    assert sizes == pytest.approx({"train": 0.8, "dev": 0.1, "test": 0.1}, abs=0.01)


@given(st.integers(2, 12), st.integers(15, 300))
def test_an_often_repeated_text_goes_to_the_training_set(texts, copies):
    rows = [(str(i), 0) for i in range(texts)] + [("often", 0)] * copies
    parts = _split(rows)
    assert [rows[i][0] for i in parts["train"]].count("often") == copies
    assert len(parts["train"]) >= copies + texts // 2


@given(_ROWS, st.sampled_from([(80, 10, 10), (30, 35, 35), (1, 1, 98), (90, 10, 0)]))
def test_the_first_part_is_never_empty(rows, shares):
    parts = _split(rows, dict(zip(_SHARES, shares, strict=True)))
    assert len(parts["train"]) or not rows


def test_a_part_without_a_share_is_empty():
    parts = _split([(str(i), 0) for i in range(10)], {"train": 90, "dev": 10, "test": 0})
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 9, "dev": 1, "test": 0}
    assert parts["test"].dtype == np.int64


def test_large_groups_follow_the_shares_as_closely_as_possible():
    rows = [(str(group), 0) for group in range(10) for _ in range(10)]
    sizes = {part: len(rows) for part, rows in _split(rows).items()}
    assert sizes == {"train": 80, "dev": 10, "test": 10}


def test_indices_are_ascending():
    for chosen in _split([(str(i), 0) for i in range(50)]).values():
        assert list(chosen) == sorted(chosen)


_STRATA = st.lists(st.sampled_from(["a", "b", "c", 4]), max_size=50)


@given(_STRATA, st.integers(0, 60))
def test_a_draw_has_the_requested_number_of_rows_and_every_stratum(strata, count):
    drawn = stratified_draw(strata, count, seed=1)
    assert len(drawn) == min(count, len(strata))
    assert list(drawn) == sorted(set(drawn.tolist()))
    if count >= len(set(strata)):
        assert {strata[i] for i in drawn} == set(strata)


@pytest.mark.parametrize(
    ("sizes", "count", "drawn"),
    [
        ((70, 20, 10), 10, (7, 2, 1)),
        ((50, 30, 20), 7, (4, 2, 1)),
        ((97, 1, 1, 1), 10, (7, 1, 1, 1)),
        ((97, 1, 1, 1), 4, (1, 1, 1, 1)),
        ((60, 30, 10), 2, (1, 1, 0)),
    ],
)
def test_a_draw_is_proportional_to_the_strata(sizes, count, drawn):
    strata = np.repeat(np.arange(len(sizes)), sizes)
    counts = np.bincount(strata[stratified_draw(strata, count, seed=1)], minlength=len(sizes))
    assert tuple(counts) == drawn


def test_a_draw_depends_only_on_its_seed():
    strata = [i % 3 for i in range(300)]
    first, again, other = (stratified_draw(strata, 60, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != other.tolist()


def test_a_draw_is_not_the_head_of_a_sorted_file():
    strata = ["bad"] * 200 + ["good"] * 200
    drawn = stratified_draw(strata, 64, seed=0)
    assert Counter(strata[i] for i in drawn) == {"bad": 32, "good": 32}
    assert drawn.max() > 300


def test_rows_and_strata_must_have_the_same_length():
    with pytest.raises(ValueError):
        split_by_text(["a", "b"], [0], _SHARES)
