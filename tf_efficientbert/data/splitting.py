"""Splits rows into parts by the hash of their text, and draws samples."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.text_keys import key_hash, text_key
from tf_efficientbert.tasks import LabelledTask

__all__ = ["cut_off", "split_by_text", "stratified_draw"]


def cut_off(
    task: LabelledTask, train: Examples, shares: Mapping[str, float]
) -> dict[str, Examples]:
    """Cuts splits off a training set, see `split_by_text`.

    Args:
        shares: split -> its percentage; "train" keeps the rest.

    Returns:
        "train" and the other splits, except those for which there are too few different texts.
    """
    if not shares:
        return {"train": train}
    keys = [text_key(*row) for row in zip(*train.columns, strict=True)]
    shares = {"train": 100 - sum(shares.values()), **shares}
    parts = split_by_text(keys, task.strata(train.labels), shares)
    return {name: train.take(rows) for name, rows in parts.items() if len(rows)}


def split_by_text(
    keys: Sequence[str], strata: Sequence[Hashable], shares: Mapping[str, float]
) -> dict[str, np.ndarray]:
    """Splits rows into parts of given shares, independent of the order of the rows.

    Rows with the same key form a group, which is never divided. A group whose rows differ in
    stratum belongs to the stratum whose `repr` sorts first. The groups of a stratum are sorted by
    the hash of their key and divided in the order of the parts. The number of groups that a part
    gets from a stratum follows from its share of all groups up to this stratum: each part has its
    share of the whole, of the small strata together, and of each large one. A group with more rows
    than the smallest share of all rows goes to the first part, so that one text that is often
    repeated does not dominate a split.

    Args:
        keys: for each row, the key of its text, see `text_key`.
        strata: for each row, the value to spread evenly, such as its label.
        shares: part -> its share, above 0 for the first; they need not sum to 1 or 100.

    Returns:
        part -> row indices, int64, ascending; none for a share of 0. The first part is empty only
        if there are no rows.
    """
    groups: dict[str, list[int]] = {}
    group_strata: dict[str, str] = {}
    for row, (key, stratum) in enumerate(zip(keys, map(repr, strata), strict=True)):
        groups.setdefault(key, []).append(row)
        group_strata[key] = min(stratum, group_strata.get(key, stratum))
    whole = sum(shares.values())
    shares = {part: share / whole for part, share in shares.items()}
    first = next(iter(shares))
    rows: dict[str, list[int]] = {part: [] for part in shares}
    most = max(1, min(filter(None, shares.values())) * len(keys))
    ordered: dict[str, list[list[int]]] = {}
    for key in sorted(groups, key=lambda key: (group_strata[key], key_hash(key), key)):
        if len(groups[key]) > most:
            rows[first].extend(groups[key])
        else:
            ordered.setdefault(group_strata[key], []).append(groups[key])
    dealt = dict.fromkeys(shares, 0)
    for stratum in ordered.values():
        start = 0
        for part, count in _quotas(len(stratum), shares, dealt).items():
            rows[part].extend(row for group in stratum[start : start + count] for row in group)
            start, dealt[part] = start + count, dealt[part] + count
    return {part: np.sort(np.array(chosen, np.int64)) for part, chosen in rows.items()}


def stratified_draw(strata: Sequence[Hashable], count: int, seed: int) -> np.ndarray:
    """Draws rows at random, from each stratum in proportion to its size.

    Args:
        strata: for each row, its stratum, such as its label.
        count: number of rows to draw; all are taken if there are no more.
        seed: the same seed draws the same rows.

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


def _quotas(count: int, shares: Mapping[str, float], dealt: Mapping[str, int]) -> dict[str, int]:
    """Returns how many of the next `count` groups each part gets.

    Each group goes to the part that is furthest below its share. The very first group goes to the
    first part, which must not be empty.

    Args:
        shares: part -> its share, 1 in sum.
        dealt: part -> the number of groups that it has.
    """
    quotas, total = dict.fromkeys(shares, 0), sum(dealt.values())
    for number in range(total + 1, total + count + 1):
        due = {part: shares[part] * number - dealt[part] - quotas[part] for part in shares}
        quotas[max(due, key=due.get) if number > 1 else next(iter(shares))] += 1
    return quotas


def _apportioned(count: int, weights: Sequence[float], at_least: int) -> np.ndarray:
    """Returns integers that sum to `count`, in proportion to weights, by largest remainder."""
    exact = count * np.array(weights, float) / np.sum(weights)
    quotas = np.maximum(np.floor(exact).astype(np.int64), at_least)
    while quotas.sum() < count:
        quotas[np.argmax(exact - quotas)] += 1
    while quotas.sum() > count:  # `at_least` added too many: take from larger ones
        quotas[np.argmax(np.where(quotas > at_least, quotas - exact, -np.inf))] -= 1
    return quotas
