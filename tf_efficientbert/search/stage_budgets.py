"""Bounds on the parameters of candidates: of the whole search and of each stage."""

import dataclasses
from collections.abc import Iterable

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.distillation.student_architecture import resolve_architecture
from tf_efficientbert.errors import UserError
from tf_efficientbert.search.budget import Budget
from tf_efficientbert.search.space import JointSpace, Space, SpaceError, draw_within
from tf_efficientbert.search.stages import Stage

__all__ = ["check_budgets", "check_space", "search_budget", "stage_budget"]

# In the paper candidates have 15 to 16 million parameters.
_BUDGET_SHARE = 15 / 16
_NOT_NAMED = (
    "a bound that the stage does not name is the search's, which without flags is "
    f"{_BUDGET_SHARE} of the plain student's parameters to all of them"
)


def search_budget(
    minimum: int, maximum: int, supernet: Architecture, sizes: tuple[int, int, int]
) -> Budget:
    """The bounds for candidates whose stage names none.

    Args:
        minimum: `--min_parameters`; 0 for 15/16 of the maximum.
        maximum: `--max_parameters`; 0 for the plain student's.
        sizes: fit_size, vocabulary_size, max_positions, see `Budget`.

    Raises:
        UserError: `maximum` is 0 and the supernet has no plain student, or the minimum is above
            the maximum.
    """
    if not maximum:
        try:
            plain = resolve_architecture("plain", supernet)
        except UserError as error:
            raise UserError(
                "--max_parameters=0 takes the plain student's, and there is none for --supernet "
                f"({error}): name a number"
            ) from error
        maximum = plain.count_parameters(*sizes)
    minimum = minimum or round(maximum * _BUDGET_SHARE)
    if minimum > maximum:
        raise UserError(
            f"--min_parameters={minimum:,} is above the most a candidate may have, {maximum:,}"
        )
    return Budget(minimum, maximum, *sizes)


def stage_budget(stage: Stage, budget: Budget) -> Budget:
    """The search's budget with the bounds that the stage names.

    Raises:
        SpaceError: the minimum is above the maximum.
    """
    minimum = stage.min_parameters or budget.minimum
    maximum = stage.max_parameters or budget.maximum
    if minimum > maximum:
        raise SpaceError(
            f"stage {stage.name} searches from {minimum:,} to {maximum:,} parameters, which holds "
            f"none; {_NOT_NAMED}"
        )
    return dataclasses.replace(budget, minimum=minimum, maximum=maximum)


def check_budgets(stages: Iterable[Stage], supernet: Architecture, budget: Budget) -> None:
    """Raises SpaceError for a stage's bounds that no network meets."""
    for stage in stages:
        if "stack" in stage.searched:
            own = stage_budget(stage, budget)
            # Formulas have no parameters, so stage 3 can reach what stage 1 can.
            check_space(stage, own, JointSpace(supernet, own))


def check_space(stage: Stage, budget: Budget, space: Space) -> None:
    """Raises SpaceError where a stage's `budget` leaves its space empty."""
    try:
        draw_within(space, "trial")
    except SpaceError as error:
        raise SpaceError(
            f"stage {stage.name} searches from {budget.minimum:,} to {budget.maximum:,} "
            f"parameters: {error}; {_NOT_NAMED}"
        ) from error
