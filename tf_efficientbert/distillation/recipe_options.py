"""Flags for what a student learns from its teacher."""

import dataclasses
import math

from tf_efficientbert.distillation.layer_map import LAYER_MAPS
from tf_efficientbert.distillation.recipes import RECIPES, Recipe
from tf_efficientbert.distillation.terms import POOLED_LOSSES
from tf_efficientbert.errors import UserError
from tf_efficientbert.options import option
from tf_efficientbert.tasks import Task

__all__ = ["RecipeOptions", "TextRecipeOptions"]

# Flags that matter only if a weight is above 0.
_WEIGHT_OF = {
    "attention_ratio": "hidden_ratio",
    "layer_map": "hidden_ratio",
    "real_tokens_only": "hidden_ratio",
    "relation_layer": "relation_ratio",
    "relation_heads": "relation_ratio",
    "pooled_loss": "pooled_ratio",
    "temperature": "prediction_ratio",
    "sum_over_classes": "prediction_ratio",
}
_ATTENTION = "attention_ratio"  # a factor of hidden_ratio
_RATIOS = ("hidden_ratio", _ATTENTION, "relation_ratio", "pooled_ratio", "prediction_ratio")
_OF_THE_RECIPE = "; not set: the recipe's"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextRecipeOptions:
    """Options for what a student learns on raw text."""

    recipe: str = option(
        "paper",
        f"what to learn from the teacher: {', '.join(RECIPES)}; see docs/distillation.md. The "
        "flags for weights and settings override it",
    )
    hidden_ratio: float | None = option(
        None, f"weight of the hidden and attention losses{_OF_THE_RECIPE}"
    )
    attention_ratio: float | None = option(
        None, f"weight of the attention loss, 0 for none{_OF_THE_RECIPE}"
    )
    relation_ratio: float | None = option(
        None, f"weight of the loss of relations between tokens, 0 for none{_OF_THE_RECIPE}"
    )
    pooled_ratio: float | None = option(
        None, f"weight of the loss of pooled vectors, 0 for none{_OF_THE_RECIPE}"
    )
    layer_map: str = option(
        "", f"teacher layers to learn from: {', '.join(LAYER_MAPS)}{_OF_THE_RECIPE}"
    )
    relation_layer: int | None = option(
        None, f"teacher layer of the relations, from 1; 0 for the last{_OF_THE_RECIPE}"
    )
    relation_heads: int | None = option(
        None, f"relation heads; 0 for the teacher's attention heads{_OF_THE_RECIPE}"
    )
    pooled_loss: str = option(
        "", f"loss of pooled vectors: {', '.join(POOLED_LOSSES)}{_OF_THE_RECIPE}"
    )
    real_tokens_only: bool | None = option(
        None, f"leave padding out of hidden and attention losses{_OF_THE_RECIPE}"
    )

    def __post_init__(self) -> None:
        for name, known in (
            ("recipe", RECIPES),
            ("layer_map", ("", *LAYER_MAPS)),
            ("pooled_loss", ("", *POOLED_LOSSES)),
        ):
            if getattr(self, name) not in known:
                raise UserError(
                    f"--{name}={getattr(self, name)}: expected one of "
                    f"{', '.join(filter(None, known))}"
                )
        for name in (*_RATIOS, "relation_layer", "relation_heads"):
            value = getattr(self, name, None)
            if value is not None and not 0 <= value < math.inf:
                raise UserError(f"--{name}={value}: expected 0 or more")
        for name, weight in _WEIGHT_OF.items():
            value = getattr(self, name, None)
            if value and not getattr(self.resolved_recipe, weight):
                raise UserError(f"--{name}={value} has no effect: {weight} is 0")

    @property
    def resolved_recipe(self) -> Recipe:
        """The recipe with all overrides by flags."""
        given = {f.name: getattr(self, f.name, None) for f in dataclasses.fields(Recipe)}
        overrides = {name: value for name, value in given.items() if value not in (None, "")}
        return dataclasses.replace(RECIPES[self.recipe], **overrides)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecipeOptions(TextRecipeOptions):
    """Options for what a student learns on raw text and on a task."""

    prediction_ratio: float | None = option(
        None, f"weight of the prediction loss on the task{_OF_THE_RECIPE}"
    )
    temperature: float | None = option(None, f"temperature of the prediction loss{_OF_THE_RECIPE}")
    sum_over_classes: bool | None = option(
        None, f"sum the prediction loss over classes{_OF_THE_RECIPE}"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        temperature = self.resolved_recipe.temperature
        if not 0 < temperature < math.inf:
            raise UserError(f"--temperature={temperature}: expected a number above 0")
        if not any(getattr(self.resolved_recipe, name) for name in _RATIOS if name != _ATTENTION):
            raise UserError(f"--{', --'.join(_RATIOS)} are all 0: nothing to learn")

    def require_fit(self, task: Task) -> None:
        """Raises UserError if a flag has no effect on the task."""
        if task.distilled_outputs:
            return
        for name in ("temperature", "sum_over_classes"):
            value = getattr(self, name)
            if value is not None:
                raise UserError(
                    f"--{name}={value} has no effect on task {task.name!r}: students of a "
                    f"{task.kind} learn from the labels"
                )
