"""How large the candidates of a search, and of each of its stages, may be: by flags and stages."""

import dataclasses
from collections.abc import Iterable

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.distillation.distiller import resolve_architecture
from tf_efficientbert.errors import UserError
from tf_efficientbert.search.budget import Budget
from tf_efficientbert.search.space import JointSpace, SpaceError, draw_within
from tf_efficientbert.search.stages import Stage

__all__ = ["BUDGET_SHARE", "check_budgets", "search_budget", "stage_budget"]

# Of the paper's 15 to 16 million parameters the lower end is this part of the upper.
BUDGET_SHARE = 15 / 16


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
    minimum = options.min_parameters or round(maximum * BUDGET_SHARE)
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
            f"{maximum:,} parameters, which holds none; a bound that the stage does not name "
            "is that of --min_parameters or --max_parameters"
        )
    return dataclasses.replace(budget, minimum=minimum, maximum=maximum)


def check_budgets(options, stages: Iterable[Stage], supernet: Architecture, budget: Budget) -> None:
    """Raises UserError for bounds of a stage that no network meets."""
    for stage in stages:
        if "stack" not in stage.searched:
            continue
        own = stage_budget(options, stage, budget)
        try:
            # Formulas have no parameters: what stage 1 may have, stage 3 may.
            draw_within(JointSpace(supernet, own), "trial")
        except SpaceError as error:
            raise UserError(
                f"--stages={options.stages}: stage {stage.name} searches from {own.minimum:,} to "
                f"{own.maximum:,} parameters (--min_parameters and --max_parameters, where it has "
                f"no bounds of its own): {error}"
            ) from error
