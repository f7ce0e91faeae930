"""How large the candidates of a search, and of each of its stages, may be: by flags and stages."""

import dataclasses
from collections.abc import Iterable

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.distillation.distiller import resolve_architecture
from tf_efficientbert.errors import UserError
from tf_efficientbert.search.budget import Budget
from tf_efficientbert.search.space import JointSpace, Space, SpaceError, draw_within
from tf_efficientbert.search.stages import Stage

__all__ = ["check_budgets", "check_space", "search_budget", "stage_budget"]

# Of the paper's 15 to 16 million parameters the lower end is this part of the upper.
_BUDGET_SHARE = 15 / 16
_NOT_NAMED = (
    "a bound that the stage does not name is the search's, without flags from "
    f"{_BUDGET_SHARE} of the plain student's parameters to all of them"
)


def search_budget(options, supernet: Architecture, sizes: tuple[int, int, int]) -> Budget:
    """What candidates may have where their stage names no bounds of its own.

    Args:
        options: `SearchOptions`.
        sizes: fit_size, vocabulary_size, max_positions, as `Budget` has them.

    Raises:
        UserError: --max_parameters=0 where there is no plain student, or a minimum above the
            maximum.
    """
    maximum = options.max_parameters
    if not maximum:
        try:
            plain = resolve_architecture("plain", supernet)
        except UserError as error:
            raise UserError(
                "--max_parameters=0 takes the plain student's, and there is none for "
                f"--supernet={options.supernet} ({error}): name a number"
            ) from error
        maximum = plain.count_parameters(*sizes)
    minimum = options.min_parameters or round(maximum * _BUDGET_SHARE)
    if minimum > maximum:
        raise UserError(
            f"--min_parameters={minimum:,} is above the most a candidate may have, {maximum:,}"
        )
    return Budget(minimum, maximum, *sizes)


def stage_budget(options, stage: Stage, budget: Budget) -> Budget:
    """The search's, with the bounds that the stage names in their place.

    Raises:
        UserError: these and those together hold nothing.
    """
    minimum = stage.min_parameters or budget.minimum
    maximum = stage.max_parameters or budget.maximum
    if minimum > maximum:
        raise UserError(
            f"--stages={options.stages}: stage {stage.name} searches from {minimum:,} to "
            f"{maximum:,} parameters, which holds none; {_NOT_NAMED}"
        )
    return dataclasses.replace(budget, minimum=minimum, maximum=maximum)


def check_budgets(options, stages: Iterable[Stage], supernet: Architecture, budget: Budget) -> None:
    """Raises UserError for bounds of a stage that no network meets."""
    for stage in stages:
        if "stack" in stage.searched:
            own = stage_budget(options, stage, budget)
            # Formulas have no parameters: what stage 1 may have, stage 3 may.
            check_space(options, stage, own, JointSpace(supernet, own))


def check_space(options, stage: Stage, budget: Budget, space: Space) -> None:
    """Raises UserError where a stage's `budget` leaves its space empty."""
    try:
        draw_within(space, "trial")
    except SpaceError as error:
        raise UserError(
            f"--stages={options.stages}: stage {stage.name} searches from {budget.minimum:,} to "
            f"{budget.maximum:,} parameters: {error}; {_NOT_NAMED}"
        ) from error
