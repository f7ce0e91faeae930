"""Splitting rows into parts by the hash of their text, and drawing some of them."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from tf_efficientbert.data.text_keys import key_hash

__all__ = ["split_by_text", "stratified_draw"]


def split_by_text(
    keys: Sequence[str], strata: Sequence[Hashable], shares: Mapping[str, float]
) -> dict[str, np.ndarray]:
    """Splits rows into parts of given shares, the same whatever the order of the rows.

    Rows with the same key form a group, which is never cut. A group whose rows differ in stratum
    belongs to the one whose `repr` sorts first. In each stratum the groups are sorted by the hash
    of their key and cut in the order of the parts, so that each part has its share of the
    stratum's rows as near as whole groups allow. A stratum with as many groups as there are parts
    has at least one in each.

    Args:
        keys: for each row the key of its text, see `text_key`.
        strata: for each row what shall be spread evenly, such as its label.
        shares: part -> its share, at least one of them above 0; they need not sum to 1 or 100.

    Returns:
        part -> row indices, int64, ascending; none for a share of 0.
    """
    groups: dict[str, list[int]] = {}
    group_strata: dict[str, str] = {}
    for row, (key, stratum) in enumerate(zip(keys, map(repr, strata), strict=True)):
        groups.setdefault(key, []).append(row)
        group_strata[key] = min(stratum, group_strata.get(key, stratum))
    ordered: dict[str, list[list[int]]] = {}
    for key in sorted(groups, key=lambda key: (key_hash(key), key)):
        ordered.setdefault(group_strata[key], []).append(groups[key])
    cut_shares = {part: share for part, share in shares.items() if share > 0}
    rows: dict[str, list[int]] = {part: [] for part in shares}
    for stratum in ordered.values():
        cuts = _cuts([len(group) for group in stratum], list(cut_shares.values()))
        for part, start, end in zip(cut_shares, cuts, cuts[1:], strict=False):
            rows[part].extend(row for group in stratum[start:end] for row in group)
    return {part: np.sort(np.array(chosen, np.int64)) for part, chosen in rows.items()}


def stratified_draw(strata: Sequence[Hashable], count: int, seed: int) -> np.ndarray:
    """Draws rows at random, each stratum in proportion to its rows.

    Args:
        strata: for each row its stratum, such as its label.
        count: how many rows to draw; all are taken where there are no more.
        seed: of the draw; the same seed draws the same rows.

    Returns:
        Row indices, int64, ascending. Each stratum has at least one where `count` allows that.
    """
    if count >= len(strata):
        return np.arange(len(strata))
    members: dict[Hashable, list[int]] = {}
    for row, stratum in enumerate(strata):
        members.setdefault(stratum, []).append(row)
    sizes = [len(rows) for rows in members.values()]
    quotas = _apportioned(count, sizes, at_least=int(count >= len(sizes)))
    generator = np.random.default_rng(seed)
    drawn = [
        generator.choice(rows, quota, replace=False)
        for rows, quota in zip(members.values(), quotas, strict=True)
    ]
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def _cuts(sizes: Sequence[int], shares: Sequence[float]) -> list[int]:
    """Where to cut an order of groups: part i has the groups cuts[i] to cuts[i + 1] - 1."""
    rows_before = np.concatenate([[0], np.cumsum(sizes)])
    targets = np.cumsum(_apportioned(int(rows_before[-1]), shares, at_least=0))
    at_least = int(len(sizes) >= len(shares))
    cuts = [0]
    for part, target in enumerate(targets[:-1], start=1):
        nearest = int(np.argmin(np.abs(rows_before - target)))
        last = len(sizes) - at_least * (len(shares) - part)
        cuts.append(min(max(nearest, cuts[-1] + at_least), last))
    return [*cuts, len(sizes)]


def _apportioned(count: int, weights: Sequence[float], at_least: int) -> np.ndarray:
    """Whole numbers that sum to `count` in proportion to weights, by the largest remainder."""
    exact = count * np.array(weights, float) / np.sum(weights)
    quotas = np.maximum(np.floor(exact).astype(np.int64), at_least)
    while quotas.sum() < count:
        quotas[np.argmax(exact - quotas)] += 1
    while quotas.sum() > count:  # what `at_least` added comes off those with more than that
        quotas[np.argmax(np.where(quotas > at_least, quotas - exact, -np.inf))] -= 1
    return quotas
