"""Warm-up and task distillation."""

from tf_efficientbert.distillation import losses
from tf_efficientbert.distillation.inheritance import inherit
from tf_efficientbert.distillation.layer_map import layer_map
from tf_efficientbert.distillation.objective import Objective
from tf_efficientbert.distillation.recipes import Recipe

__all__ = ["Objective", "Recipe", "inherit", "layer_map", "losses"]
