"""Samplers, which choose the candidates of a search through an ask-and-tell interface.

There is a random baseline, evolution (Real et al. 2019, arXiv 1802.01548), and the learned action
space of Dong et al. 2021 (EfficientBERT, arXiv 2109.07222), which follows Wang et al. 2019 (arXiv
1906.06832).
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.search.action_space import LearnedActionSpace, depth_for
from tf_efficientbert.search.space import MOST_MISSES, Space, SpaceError

__all__ = [
    "ActionSpaceSampler",
    "EvolutionSampler",
    "Fit",
    "RandomSampler",
    "Sampler",
    "SpaceExhausted",
]

_MAX_DRAWS = 20_000
_CHILDREN = 20  # that may miss the budget before a random candidate takes their place


class SpaceExhausted(Exception):
    """No draw gave a new candidate within the budget."""


class Sampler:
    """Returns candidates of a space by index, from 0, none of them twice.

    The space's `first` candidates come first. The result of `ask` depends only on the space, the
    seed, the index and the earlier calls of `ask` and `tell`. So a new process that repeats those
    calls continues like the old one. Several candidates may be asked for before the first score is
    told.

    Args:
        space: the space to draw from.
        seed: source of all randomness.
        max_draws: draws for one candidate before the space counts as exhausted.
    """

    def __init__(self, space: Space, seed: int, max_draws: int = _MAX_DRAWS) -> None:
        self.space = space
        self.seed = seed
        self.max_draws = max_draws
        # The first candidates count as seen from the start, so that asking for a later index
        # before them does not return one of them.
        self._seen = {architecture.canonical() for architecture in space.first}
        self._asked: dict[int, Architecture] = {}
        self._told: dict[int, tuple[Architecture, float | None]] = {}

    def ask(self, index: int) -> Architecture:
        """Returns a candidate whose canonical form was neither asked for nor told before.

        Raises:
            ValueError: index is negative, or was asked for or told before.
            SpaceExhausted: `max_draws` draws gave no new candidate, or too many draws in a row
                missed the budget.
        """
        if index < 0 or index in self._asked or index in self._told:
            reason = "negative" if index < 0 else "asked or told before"
            raise ValueError(f"cannot ask for candidate {index}: the index is {reason}")
        first = self.space.first
        architecture = first[index] if index < len(first) else self._draw_new(index)
        self._asked[index] = architecture
        self._seen.add(architecture.canonical())
        return architecture

    def tell(self, index: int, architecture: Architecture, score: float | None) -> None:
        """Records a candidate's score; an earlier process may have asked for the candidate.

        Args:
            index: the candidate's index.
            architecture: the result of `ask`.
            score: higher is better; None for a failed candidate, which is not tried again and is
                left out of fits.

        Raises:
            ValueError: index was told before, or score is not finite.
        """
        if index in self._told:
            raise ValueError(f"candidate {index} was told before")
        if score is not None and not math.isfinite(score):
            raise ValueError(
                f"the score of candidate {index} must be finite, or None if it failed, got {score}"
            )
        self._told[index] = (architecture, score)
        self._seen.add(architecture.canonical())

    def _draw(self, index: int, key: str) -> Architecture:
        """Returns a candidate for `index`, the same for equal keys; see `Space.draw`."""
        return self.space.draw(key)

    def _region(self, index: int) -> Callable[[Architecture], bool]:
        """Returns a predicate for `index`: whether a candidate lies in the region to sample."""
        return lambda architecture: True

    def _draw_new(self, index: int) -> Architecture:
        is_inside = self._region(index)
        outside, missed, miss = None, 0, None
        for attempt in range(self.max_draws):
            try:
                drawn = self._draw(index, f"{self.seed}/{index}/{attempt}")
            except SpaceError as error:  # narrow budgets are missed sometimes
                miss, missed = error, missed + 1
                if missed == MOST_MISSES:
                    break
                continue
            missed = 0
            if drawn.canonical() in self._seen:
                continue
            if is_inside(drawn):
                return drawn
            if outside is None:
                outside = drawn
        if outside is not None:
            return outside
        if missed:
            raise SpaceExhausted(f"no new candidate for number {index}: {miss}") from miss
        raise SpaceExhausted(
            f"no new candidate in {self.max_draws} draws for candidate {index}: "
            f"{len(self._seen)} distinct ones were seen"
        )


class RandomSampler(Sampler):
    """The baseline: every candidate is a random draw (arguments as for `Sampler`)."""


class EvolutionSampler(Sampler):
    """Regularized evolution: Real et al. 2019 (arXiv 1802.01548).

    A candidate is a copy of a parent with one layer's cell drawn anew. The parent is the best of a
    random part of the population, which are the youngest candidates with a score. If 20 children
    miss the budget, a random candidate takes their place.

    Args:
        space, seed, max_draws: see `Sampler`.
        start: candidates that must have a score before the first parent is chosen.
        population: candidates in the population, at most.
        tournament: share of the population from which the best one becomes the parent.

    Raises:
        ValueError: start, population or tournament is not positive, or tournament is above 1.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        start: int,
        population: int = 100,
        tournament: float = 0.25,
        max_draws: int = _MAX_DRAWS,
    ) -> None:
        super().__init__(space, seed, max_draws)
        for name, value in (("start", start), ("population", population)):
            if value < 1:
                raise ValueError(f"{name} must be positive, got {value}")
        if not 0 < tournament <= 1:
            raise ValueError(f"tournament must be above 0 and at most 1, got {tournament}")
        self._start = start
        self._population = population
        self._tournament = tournament

    def _draw(self, index: int, key: str) -> Architecture:
        youngest = self._youngest(index)
        if not youngest:
            return self.space.draw(key)
        rng = random.Random(f"{key}/parent")
        size = max(min(2, len(youngest)), round(self._tournament * len(youngest)))
        parent, _ = max(rng.sample(youngest, size), key=lambda told: told[1])
        for attempt in range(_CHILDREN):
            layer = rng.randrange(len(parent.cells))
            cell = self.space.draw_cell(layer, f"{key}/{attempt}")
            cells = (*parent.cells[:layer], cell, *parent.cells[layer + 1 :])
            child = replace(parent, cells=cells)
            if self.space.holds(child):
                return child
        return self.space.draw(key)

    def _youngest(self, index: int) -> list[tuple[Architecture, float]]:
        """Returns the population; [] before `start` candidates have a score."""
        scored = sorted(
            i for i, (_, score) in self._told.items() if score is not None and i < index
        )
        if len(scored) < self._start:
            return []
        return [self._told[i] for i in scored[-self._population :]]


@dataclass(frozen=True)
class Fit:
    """Record of one fit of the action space.

    Args:
        index: the first candidate that was drawn with it.
        candidates: number of candidates in the fit.
        depth: maximum depth of the tree.
        share: fraction of those candidates that lie in the region with the best mean.
    """

    index: int
    candidates: int
    depth: int
    share: float


class ActionSpaceSampler(Sampler):
    """Draws at random first, then from the regions of a learned action space.

    The fit uses the first `start` + k x `every` scored candidates in index order, with the largest
    possible k. `LearnedActionSpace.choose` returns a region for each candidate, which is drawn
    until it lies in it. After `max_draws` draws, the first new one of them is taken.

    Args:
        space: the space to draw from.
        seed: source of all randomness.
        start: scored candidates before the first fit; 80 in the paper.
        every: scored candidates between fits; 10 in the paper.
        exploration: see `LearnedActionSpace.fit`.
        tuning_rounds: see `LearnedActionSpace.fit`.
        max_draws: draws for one candidate.

    Attributes:
        fits: the fits that this process made.

    Raises:
        ValueError: start or every is not positive.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        start: int,
        every: int,
        exploration: float = 1.0,
        tuning_rounds: int = 0,
        max_draws: int = _MAX_DRAWS,
    ) -> None:
        super().__init__(space, seed, max_draws)
        for name, value in (("start", start), ("every", every)):
            if value < 1:
                raise ValueError(f"{name} must be positive, got {value}")
        self._start = start
        self._every = every
        self._exploration = exploration
        self._tuning_rounds = tuning_rounds
        self._fitted_on: list[int] = []
        self._learned: LearnedActionSpace | None = None
        self.fits: list[Fit] = []

    def _region(self, index: int) -> Callable[[Architecture], bool]:
        scored = sorted(index for index, (_, score) in self._told.items() if score is not None)
        if len(scored) < self._start:
            return lambda architecture: True
        count = len(scored) - (len(scored) - self._start) % self._every
        # Compare the indices, not their number: a candidate whose score is told late joins the fit
        # from then on, as it does in a process that starts then.
        if scored[:count] != self._fitted_on:
            self._fit(index, scored[:count])
        candidates = self._asked | {i: architecture for i, (architecture, _) in self._told.items()}
        since = [candidates[i] for i in sorted(candidates) if self._fitted_on[-1] < i < index]
        region = self._learned.choose([self.space.encode(architecture) for architecture in since])
        return lambda architecture: region.contains(self.space.encode(architecture))

    def _fit(self, index: int, indices: list[int]) -> None:
        told = [self._told[index] for index in indices]
        depth = depth_for(len(told))
        self._learned = LearnedActionSpace.fit(
            [self.space.encode(architecture) for architecture, _ in told],
            [score for _, score in told],
            depth=depth,
            seed=random.Random(f"{self.seed}/fit/{len(told)}").getrandbits(31),
            exploration=self._exploration,
            tuning_rounds=self._tuning_rounds,
        )
        self._fitted_on = indices
        self.fits.append(Fit(index, len(told), depth, self._learned.choose([]).share))
