"""Who decides which candidate a search tries next: ask for one, tell its score.

The random baseline, and the learned action space of Dong et al. 2021 (EfficientBERT, arXiv
2109.07222) after Wang et al. 2019 (arXiv 1906.06832).
"""

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.search.action_space import LearnedActionSpace, depth_for
from tf_efficientbert.search.space import MOST_MISSES, Space, SpaceError

__all__ = ["ActionSpaceSampler", "Fit", "RandomSampler", "Sampler", "SpaceExhausted"]

_MAX_DRAWS = 20_000


class SpaceExhausted(Exception):
    """All draws gave candidates that were seen before, or none that meets the budget."""


class Sampler(ABC):
    """Gives out candidates of a space, by index from 0 on, and never one twice.

    The space's first candidates come first. What `ask` gives depends on the space, the seed, the
    index, what was told and what was asked before it, and on nothing else: a new process that
    is told the same and asks in the same order goes on as the old one would have. Several
    candidates may be asked for before the first of them is told.

    Args:
        space: what to draw from.
        seed: all randomness comes from it.
        max_draws: draws for one candidate before the space counts as exhausted.
    """

    def __init__(self, space: Space, seed: int, max_draws: int = _MAX_DRAWS) -> None:
        self.space = space
        self.seed = seed
        self.max_draws = max_draws
        # The first ones count as seen at once: whoever asks for a later index before them must
        # not get one of them.
        self._seen = {architecture.canonical() for architecture in space.first}
        self._asked: set[int] = set()
        self._told: dict[int, tuple[Architecture, float | None]] = {}

    def ask(self, index: int) -> Architecture:
        """A candidate that equals none asked or told before, canonical forms compared.

        Raises:
            ValueError: index is negative, or was asked or told before.
            SpaceExhausted: no new candidate in max_draws draws, or many in a row that missed the
                budget.
        """
        if index < 0 or index in self._asked or index in self._told:
            reason = "negative" if index < 0 else "asked or told before"
            raise ValueError(f"cannot ask for candidate {index}: the index is {reason}")
        first = self.space.first
        architecture = first[index] if index < len(first) else self._draw_new(index)
        self._asked.add(index)
        self._seen.add(architecture.canonical())
        return architecture

    def tell(self, index: int, architecture: Architecture, score: float | None) -> None:
        """Takes note of how a candidate did; it need not have been asked for here.

        Args:
            index: what it was asked as, maybe in an earlier process.
            architecture: what `ask` gave.
            score: higher is better; None for a candidate that failed, which is not tried again
                and teaches nothing.

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

    @abstractmethod
    def _region(self, index: int) -> Callable[[Architecture], bool]:
        """Tells of a candidate drawn for `index` whether it lies where to look next."""

    def _draw_new(self, index: int) -> Architecture:
        is_inside = self._region(index)
        outside, missed, miss = None, 0, None
        for attempt in range(self.max_draws):
            try:
                drawn = self.space.draw(f"{self.seed}/{index}/{attempt}")
            except SpaceError as error:  # a narrow budget is missed for once, another always
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
    """The baseline: every candidate is a random draw (arguments as `Sampler`)."""

    def _region(self, index: int) -> Callable[[Architecture], bool]:
        return lambda architecture: True


@dataclass(frozen=True)
class Fit:
    """That an action space was fitted.

    Args:
        index: of the candidate that was the first to be drawn with it.
        candidates: number of candidates it learned from.
        depth: depth of the tree, at most.
        share: part of those candidates that lies in the chosen region.
    """

    index: int
    candidates: int
    depth: int
    share: float


class ActionSpaceSampler(Sampler):
    """Random draws at first, then draws from the best region of a learned action space.

    The action space is learned from the first start + k x every candidates, in the order of
    their indices, that were told a score, k as large as they allow. Candidates are drawn until
    one lies in the region; after max_draws, any new one of those draws is taken.

    Args:
        space: what to draw from.
        seed: all randomness comes from it.
        start: candidates with a score before the first fit; the paper's search takes 80.
        every: candidates with a score between fits; 10 in the paper's.
        exploration: see `LearnedActionSpace.fit`.
        tuning_rounds: see `LearnedActionSpace.fit`.
        max_draws: draws for one candidate.

    Attributes:
        fits: a record of each fit that this process made.

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
        # Compared are the candidates, not their number: where one of a group is told late, it
        # belongs to the fit from then on, as it would for a process that starts then.
        if scored[:count] != self._fitted_on:
            self._fit(index, scored[:count])
        return lambda architecture: self._learned.contains(self.space.encode(architecture))

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
        self.fits.append(Fit(index, len(told), depth, self._learned.share))
