"""Descriptions of networks as data: formulas, cells, architectures and their costs."""

from tf_efficientbert.architecture.cell import CellSpec
from tf_efficientbert.architecture.expression import Expression, FormulaError
from tf_efficientbert.architecture.spec import Architecture, ArchitectureError

__all__ = ["Architecture", "ArchitectureError", "CellSpec", "Expression", "FormulaError"]
