"""The search spaces of the three stages.

Dong et al. 2021 (EfficientBERT, arXiv 2109.07222), section on the progressive search: stack,
ratio and formula together, then only formulas, then only stacks and ratios.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction

from tf_efficientbert.architecture import Architecture, CellSpec
from tf_efficientbert.architecture.expression import (
    ACTIVATIONS,
    BINARY_OPERATORS,
    LINEAR_OPERATORS,
    NEUTRAL_LINEAR,
    TERMINALS,
    violation,
    width_error,
    with_linear_name,
)
from tf_efficientbert.architecture.mutation import mutate
from tf_efficientbert.search.budget import Budget

__all__ = [
    "MOST_MISSES",
    "FormulaSpace",
    "JointSpace",
    "SizeSpace",
    "Space",
    "SpaceError",
    "draw_within",
]

MOST_MISSES = 100  # in a row, of `draw`; a narrow but feasible budget is met much earlier
_BUDGET_TRIES = 1000
_JOINT_MUTATION_TRIES, _FORMULA_MUTATION_TRIES = 1000, 400
_ENCODED_NODES = 20
_PADDING = -1
# linear4_2 is 4 stacked FFNs at ratio 1/2; the index in this list is the id of the pair.
_SIZES = tuple((stack, Fraction(1, part)) for stack, part in LINEAR_OPERATORS.values())
_SIZE_IDS = {size: number for number, size in enumerate(_SIZES)}
_NODE_IDS = {
    name: number
    for number, name in enumerate((*TERMINALS, *ACTIVATIONS, *BINARY_OPERATORS, *LINEAR_OPERATORS))
}


class SpaceError(ValueError):
    """No candidate was found in a space."""


class Space(ABC):
    """The candidates of one search stage.

    Attributes:
        first: the candidates that the stage tries first, distinct in canonical form. One that
            misses the stage's budget is left out, as the search could return it.
    """

    first: tuple[Architecture, ...]

    @abstractmethod
    def draw(self, seed: str) -> Architecture:
        """Returns a random valid candidate, the same for equal seeds in every process.

        Raises:
            SpaceError: 1,000 random candidates in a row missed the budget.
        """

    @abstractmethod
    def draw_cell(self, layer: int, seed: str) -> CellSpec:
        """Returns a random cell of a layer, the same for equal seeds in every process."""

    @abstractmethod
    def holds(self, architecture: Architecture) -> bool:
        """Returns whether an architecture, made of cells of this space, meets the budget."""

    @abstractmethod
    def encode(self, architecture: Architecture) -> tuple[int, ...]:
        """Returns a candidate as a fixed number of integers, for the action space's classifiers."""


def draw_within(space: Space, seed: str) -> Architecture:
    """Draws up to `MOST_MISSES` times, as a single draw may miss a narrow budget.

    Raises:
        SpaceError: every draw missed the budget.
    """
    for attempt in range(MOST_MISSES - 1):
        try:
            return space.draw(f"{seed}/{attempt}")
        except SpaceError:
            continue
    return space.draw(f"{seed}/{MOST_MISSES - 1}")


class JointSpace(Space):
    """Stage 1: stack, ratio and formula of every layer.

    A layer's formula is a mutation of one of the 16 ordinary FFNs. The first candidate has
    linear1_1(gelu(linear1_1(x,wb1)),wb2) in every layer.

    Args:
        sizes: gives the hidden size, number of layers and so on; its cells are ignored.
        budget: bounds on each candidate's parameters.
    """

    def __init__(self, sizes: Architecture, budget: Budget) -> None:
        self._budget = budget
        self._sizes = replace(sizes, cells=(CellSpec.ordinary(),) * sizes.num_layers)
        ordinary = _fitting(sizes, (CellSpec.ordinary(*size) for size in _SIZES))
        self._choices = (ordinary,) * sizes.num_layers
        self.first = tuple(filter(budget.holds, (self._sizes,)))

    def draw(self, seed: str) -> Architecture:
        """See `Space.draw`."""
        rng = random.Random(seed)
        # The parameters depend only on stacks and ratios, which a mutation keeps. So check the
        # budget before the much slower mutations.
        chosen = _within_budget(self._sizes, self._choices, self._budget, rng)
        return _mutated(chosen, rng, _JOINT_MUTATION_TRIES)

    def draw_cell(self, layer: int, seed: str) -> CellSpec:
        """See `Space.draw_cell`."""
        rng = random.Random(seed)
        cell = rng.choice(self._choices[layer])
        return _mutated_cell(self._sizes, cell, rng, _JOINT_MUTATION_TRIES)

    def holds(self, architecture: Architecture) -> bool:
        """See `Space.holds`."""
        return self._budget.holds(architecture)

    def encode(self, architecture: Architecture) -> tuple[int, ...]:
        """See `encode_formulas`."""
        return encode_formulas(architecture)


class FormulaSpace(Space):
    """Stage 2: formulas, with the stacks and ratios of stage 1's best candidate.

    A layer's formula is a mutation of the one in `best`, with or without its outer activation. The
    first candidates are `best`, and `best` without the outer activations that can be removed.

    Args:
        best: the best candidate of stage 1.
    """

    def __init__(self, best: Architecture) -> None:
        stripped = replace(best, cells=tuple(map(_without_outer_activation, best.cells)))
        self._best = best
        self._seeds = [
            tuple(dict.fromkeys(cells)) for cells in zip(best.cells, stripped.cells, strict=True)
        ]
        self.first = _distinct((best, stripped))

    def draw(self, seed: str) -> Architecture:
        """See `Space.draw`; there is no budget to miss."""
        rng = random.Random(seed)
        chosen = replace(self._best, cells=tuple(map(rng.choice, self._seeds)))
        return _mutated(chosen, rng, _FORMULA_MUTATION_TRIES)

    def draw_cell(self, layer: int, seed: str) -> CellSpec:
        """See `Space.draw_cell`."""
        rng = random.Random(seed)
        cell = rng.choice(self._seeds[layer])
        return _mutated_cell(self._best, cell, rng, _FORMULA_MUTATION_TRIES)

    def holds(self, architecture: Architecture) -> bool:
        """See `Space.holds`; there is no budget to miss."""
        return True

    def encode(self, architecture: Architecture) -> tuple[int, ...]:
        """See `encode_formulas`."""
        return encode_formulas(architecture)


class SizeSpace(Space):
    """Stage 3: stacks and ratios, with the formulas of stage 2's best candidate.

    The first candidate is `best`.

    Args:
        best: the best candidate of stage 2.
        budget: bounds on each candidate's parameters.
    """

    def __init__(self, best: Architecture, budget: Budget) -> None:
        self._best = best
        self._budget = budget
        # With sliced or padded channels, the ratios that fit depend on the formula.
        self._choices = tuple(
            _fitting(best, (CellSpec(cell.formula, *size) for size in _SIZES))
            for cell in best.cells
        )
        self.first = tuple(filter(budget.holds, (best,)))

    def draw(self, seed: str) -> Architecture:
        """See `Space.draw`."""
        return _within_budget(self._best, self._choices, self._budget, random.Random(seed))

    def draw_cell(self, layer: int, seed: str) -> CellSpec:
        """See `Space.draw_cell`."""
        return random.Random(seed).choice(self._choices[layer])

    def holds(self, architecture: Architecture) -> bool:
        """See `Space.holds`."""
        return self._budget.holds(architecture)

    def encode(self, architecture: Architecture) -> tuple[int, ...]:
        """Returns one number from 0 to 15 per layer, the id of its stack and ratio."""
        return tuple(_SIZE_IDS[cell.stack, cell.ratio] for cell in architecture.cells)


def encode_formulas(architecture: Architecture) -> tuple[int, ...]:
    """Returns 20 node ids per layer: its formula in prefix order, padded with -1.

    A valid formula may have more than 20 nodes, as its height may be 7. The encoding is then
    truncated, and formulas that differ only after that look the same to the classifiers. They are
    still distinct candidates, as samplers compare canonical forms.
    """
    encoding: list[int] = []
    for cell in architecture.cells:
        ids = [_NODE_IDS[node.name] for node in cell.expression.walk()][:_ENCODED_NODES]
        encoding += ids + [_PADDING] * (_ENCODED_NODES - len(ids))
    return tuple(encoding)


def _fitting(sizes: Architecture, cells: Iterable[CellSpec]) -> tuple[CellSpec, ...]:
    widths = (sizes.channel_mismatch, sizes.hidden_size, sizes.ffn_width)
    return tuple(cell for cell in cells if width_error(cell.expression, *widths) is None)


def _distinct(architectures: Iterable[Architecture]) -> tuple[Architecture, ...]:
    by_canonical_form: dict[Architecture, Architecture] = {}
    for architecture in architectures:
        by_canonical_form.setdefault(architecture.canonical(), architecture)
    return tuple(by_canonical_form.values())


def _without_outer_activation(cell: CellSpec) -> CellSpec:
    """Removes the activation at the root of a cell's formula if a valid formula remains.

    No second activation follows below it, as nested activations are invalid. The widths still fit,
    as an activation does not change them.
    """
    if cell.formula.name not in ACTIVATIONS:
        return cell
    (inner,) = cell.formula.arguments
    return cell if violation(inner) else replace(cell, formula=inner)


def _within_budget(
    sizes: Architecture,
    choices: Sequence[Sequence[CellSpec]],
    budget: Budget,
    rng: random.Random,
) -> Architecture:
    """Draws a cell per layer from its choices, repeatedly until the budget is met."""
    missed = []
    for _ in range(_BUDGET_TRIES):
        candidate = replace(sizes, cells=tuple(map(rng.choice, choices)))
        if budget.holds(candidate):
            return candidate
        missed.append(budget.parameters(candidate))
    raise SpaceError(
        f"none of {_BUDGET_TRIES} random candidates has {budget.minimum} to {budget.maximum} "
        f"parameters; they had {min(missed)} to {max(missed)}"
    )


def _mutated(architecture: Architecture, rng: random.Random, max_tries: int) -> Architecture:
    cells = (_mutated_cell(architecture, cell, rng, max_tries) for cell in architecture.cells)
    return replace(architecture, cells=tuple(cells))


def _mutated_cell(
    sizes: Architecture, cell: CellSpec, rng: random.Random, max_tries: int
) -> CellSpec:
    formula = mutate(
        cell.expression,
        rng.getrandbits(64),
        max_tries,
        channel_mismatch=sizes.channel_mismatch,
        hidden_size=sizes.hidden_size,
        ffn_width=sizes.ffn_width,
    )
    return replace(cell, formula=with_linear_name(formula, NEUTRAL_LINEAR))
