"""What each of the three search stages draws its candidates from.

Dong et al. 2021 (EfficientBERT, arXiv 2109.07222), section on the progressive search: stack,
ratio and formula together, then formulas alone, then stacks and ratios alone.
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

MOST_MISSES = 100  # of a draw in a row: a budget that is only narrow is met long before
_BUDGET_TRIES = 1000
_JOINT_MUTATION_TRIES, _FORMULA_MUTATION_TRIES = 1000, 400
_ENCODED_NODES = 20
_PADDING = -1
# linear4_2 is 4 stacked FFNs at ratio 1/2: its place in this list is the pair's id.
_SIZES = tuple((stack, Fraction(1, part)) for stack, part in LINEAR_OPERATORS.values())
_SIZE_IDS = {size: number for number, size in enumerate(_SIZES)}
_NODE_IDS = {
    name: number
    for number, name in enumerate((*TERMINALS, *ACTIVATIONS, *BINARY_OPERATORS, *LINEAR_OPERATORS))
}


class SpaceError(ValueError):
    """A space in which no candidate was found."""


class Space(ABC):
    """The candidates of one search stage.

    Attributes:
        first: the candidates that the stage begins with, no two equal in canonical form. One
            that misses the stage's budget is not among them, as the search could return it.
    """

    first: tuple[Architecture, ...]

    @abstractmethod
    def draw(self, seed: str) -> Architecture:
        """A random valid candidate, which `seed` alone decides, the same in every process.

        Raises:
            SpaceError: the budget was missed 1,000 times in a row.
        """

    @abstractmethod
    def encode(self, architecture: Architecture) -> tuple[int, ...]:
        """A candidate in numbers, as many for each, for the classifiers of the action space."""


def draw_within(space: Space, seed: str) -> Architecture:
    """A draw that may miss a narrow budget a few times over.

    Raises:
        SpaceError: it was missed every time.
    """
    for attempt in range(MOST_MISSES - 1):
        try:
            return space.draw(f"{seed}/{attempt}")
        except SpaceError:
            continue
    return space.draw(f"{seed}/{MOST_MISSES - 1}")


class JointSpace(Space):
    """Stage 1: stack, ratio and formula of every layer.

    A layer's formula is a mutation of one of the 16 ordinary FFNs. First comes the network
    of linear1_1(gelu(linear1_1(x,wb1)),wb2) in every layer.

    Args:
        sizes: the hidden size, number of layers and so on of each candidate; which cells it has
            does not matter.
        budget: what each candidate's parameters keep to.
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
        # A mutation keeps stack and ratio, on which alone the parameters depend: the budget is
        # met before the far slower mutations.
        chosen = _within_budget(self._sizes, self._choices, self._budget, rng)
        return _mutated(chosen, rng, _JOINT_MUTATION_TRIES)

    def encode(self, architecture: Architecture) -> tuple[int, ...]:
        """See `encode_formulas`."""
        return encode_formulas(architecture)


class FormulaSpace(Space):
    """Stage 2: formulas, with the stacks and ratios of stage 1's best.

    A layer's formula is a mutation of best's, or of best's without its outer activation. First
    come best, and best without outer activations wherever a valid formula is left.

    Args:
        best: what stage 1 found.
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

    def encode(self, architecture: Architecture) -> tuple[int, ...]:
        """See `encode_formulas`."""
        return encode_formulas(architecture)


class SizeSpace(Space):
    """Stage 3: stacks and ratios, with the formulas of stage 2's best, which comes first.

    Args:
        best: what stage 2 found.
        budget: what each candidate's parameters keep to.
    """

    def __init__(self, best: Architecture, budget: Budget) -> None:
        self._best = best
        self._budget = budget
        # Under slicing or padding, which ratios fit depends on the formula.
        self._choices = tuple(
            _fitting(best, (CellSpec(cell.formula, *size) for size in _SIZES))
            for cell in best.cells
        )
        self.first = tuple(filter(budget.holds, (best,)))

    def draw(self, seed: str) -> Architecture:
        """See `Space.draw`."""
        return _within_budget(self._best, self._choices, self._budget, random.Random(seed))

    def encode(self, architecture: Architecture) -> tuple[int, ...]:
        """One number of 0 to 15 per layer, which stands for its stack and ratio."""
        return tuple(_SIZE_IDS[cell.stack, cell.ratio] for cell in architecture.cells)


def encode_formulas(architecture: Architecture) -> tuple[int, ...]:
    """Node ids of each layer's formula in prefix order, -1 up to 20 per layer.

    A valid formula may have more than 20 nodes (height 7 leaves room for many more). Its end is
    then left out, and formulas that differ there alone look the same to the classifiers. They
    stay different candidates, as samplers compare canonical forms.
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
    """The cell without the activation at its root, or as it is where that leaves no formula.

    There is never a second one below (an activation of an activation is not valid), and what
    is left fits, as an activation changes no width.
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
    """One cell per layer out of its choices, all drawn again until the budget holds."""
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
    cells = []
    for cell in architecture.cells:
        formula = mutate(
            cell.expression,
            rng.getrandbits(64),
            max_tries,
            channel_mismatch=architecture.channel_mismatch,
            hidden_size=architecture.hidden_size,
            ffn_width=architecture.ffn_width,
        )
        cells.append(replace(cell, formula=with_linear_name(formula, NEUTRAL_LINEAR)))
    return replace(architecture, cells=tuple(cells))
