"""Bounds on the parameters of candidates, for the search and for each stage."""

import dataclasses
from collections.abc import Iterable

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.distillation.student_architecture import resolve_architecture
from tf_efficientbert.errors import UserError
from tf_efficientbert.search.budget import Budget
from tf_efficientbert.search.space import JointSpace, Space, SpaceError, draw_within
from tf_efficientbert.search.stages import Stage

__all__ = ["check_budgets", "check_space", "search_budget", "stage_budget"]

# The paper's candidates have 15 to 16 million parameters.
_BUDGET_SHARE = 15 / 16
_DEFAULT_BOUNDS = (
    "bounds that the stage does not set are --max_parameters, by default the plain student's, and "
    "--min_parameters, by default 15/16 of --max_parameters"
)


def search_budget(
    minimum: int, maximum: int, supernet: Architecture, sizes: tuple[int, int, int]
) -> Budget:
    """Returns the bounds for stages that do not set their own.

    Args:
        minimum: `--min_parameters`; 0 for 15/16 of the maximum.
        maximum: `--max_parameters`; 0 for the plain student's parameters.
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
                "--max_parameters=0 uses the size of the plain student, which does not exist for "
                f"--supernet ({error}); set a number"
            ) from error
        maximum = plain.count_parameters(*sizes)
    minimum = minimum or round(maximum * _BUDGET_SHARE)
    if minimum > maximum:
        raise UserError(f"--min_parameters={minimum:,} is above the maximum, {maximum:,}")
    return Budget(minimum, maximum, *sizes)


def stage_budget(stage: Stage, budget: Budget) -> Budget:
    """Returns the search's budget with the bounds that the stage sets.

    Raises:
        SpaceError: the minimum is above the maximum.
    """
    minimum = stage.min_parameters or budget.minimum
    maximum = stage.max_parameters or budget.maximum
    if minimum > maximum:
        raise SpaceError(
            f"stage {stage.name} searches from {minimum:,} to {maximum:,} parameters: the minimum "
            f"is above the maximum; {_DEFAULT_BOUNDS}"
        )
    return dataclasses.replace(budget, minimum=minimum, maximum=maximum)


def check_budgets(stages: Iterable[Stage], supernet: Architecture, budget: Budget) -> None:
    """Raises SpaceError if no network meets the bounds of a stage."""
    for stage in stages:
        if "stack" in stage.searched:
            own = stage_budget(stage, budget)
            # Formulas have no parameters, so stage 3 can reach the same sizes as stage 1.
            check_space(stage, own, JointSpace(supernet, own))


def check_space(stage: Stage, budget: Budget, space: Space) -> None:
    """Raises SpaceError if no candidate of `space` meets the stage's `budget`."""
    try:
        draw_within(space, "trial")
    except SpaceError as error:
        raise SpaceError(
            f"stage {stage.name} searches from {budget.minimum:,} to {budget.maximum:,} "
            f"parameters: {error}; {_DEFAULT_BOUNDS}"
        ) from error
