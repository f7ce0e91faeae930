"""A double-array trie (Aoe 1989) in the layout of the library darts-clone, which others read.

A node is a 32-bit unit: its label in the low byte, a bit that says whether a key ends there, and
the offset to its children, bits 10 to 30. The child for byte c is at node XOR offset XOR c; the
value of a key that ends there is the child for 0, with the highest bit set.
"""

import itertools
from collections.abc import Mapping

import numpy as np

__all__ = ["double_array"]

_ENDS, _IS_VALUE, _OFFSET_SHIFT, _MOST_UNITS = 1 << 8, 1 << 31, 10, 1 << 21
_BLOCK = 256  # children of a node are in one block of as many units
_SEARCHED = 16 * _BLOCK  # at the end: earlier blocks are nearly full, and searching them takes long


def double_array(values: Mapping[bytes, int]) -> np.ndarray:
    """Returns the trie of the keys, uint32.

    Args:
        values: from 0 to 2**31 - 1, by key; keys are not empty and have no zero byte.

    Raises:
        ValueError: the trie is too large for the format.
    """
    units = [0] * _BLOCK
    free = dict.fromkeys(range(1, _BLOCK))  # a dictionary as a set in order; 0 is the root
    bases = {0}  # each node has its own, or children of two nodes could be mistaken
    waiting = [(0, sorted(values), 0)]  # (node, its keys, number of bytes before it)
    while waiting:
        node, keys, depth = waiting.pop()
        children = _by_byte(keys, depth)
        base = _free_base(free, bases, tuple(children))
        while base is None:
            end = len(units)
            units += [0] * _BLOCK
            free = {place: None for place in free if place >= end - _SEARCHED}
            free |= dict.fromkeys(range(end, end + _BLOCK))
            base = _free_base(free, bases, tuple(children))
        bases.add(base)
        units[node] |= (node ^ base) << _OFFSET_SHIFT
        for label, group in children.items():
            child = base ^ label
            del free[child]
            if label:
                units[child] = label
                waiting.append((child, group, depth + 1))
            else:
                units[node] |= _ENDS
                units[child] = _IS_VALUE | values[group[0]]
    if len(units) > _MOST_UNITS:
        raise ValueError(f"the trie has {len(units)} units, at most {_MOST_UNITS} are possible")
    return np.array(units, np.uint32)


def _free_base(free: dict, bases: set[int], labels: tuple[int, ...]) -> int | None:
    """Returns a base that no node has and whose children for the labels are free, or None."""
    first, others = labels[0], labels[1:]
    for place in free:
        base = place ^ first
        if base not in bases and all(base ^ label in free for label in others):
            return base
    return None


def _by_byte(keys: list[bytes], depth: int) -> dict[int, list[bytes]]:
    """Returns sorted keys by their byte at `depth`; 0 stands for the end of a key."""
    groups = itertools.groupby(keys, key=lambda key: key[depth] if depth < len(key) else 0)
    return {byte: list(group) for byte, group in groups}
