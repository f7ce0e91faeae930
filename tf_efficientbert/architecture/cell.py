"""The feed-forward cell of one layer, as data."""

from dataclasses import dataclass, replace
from fractions import Fraction

from tf_efficientbert.architecture.expression import (
    LINEAR_OPERATORS,
    NEUTRAL_LINEAR,
    RATIO_DENOMINATORS,
    STACKS,
    Expression,
    FormulaError,
    canonical,
    parse,
    violation,
    with_linear_name,
)

_RATIOS = tuple(Fraction(1, denominator) for denominator in RATIO_DENOMINATORS)


@dataclass(frozen=True)
class CellSpec:
    """The feed-forward cell of one layer: `stack` FFNs of one formula, each with its own weights.

    `str` gives the paper's text form (Dong et al. 2021, arXiv 2109.07222).

    Args:
        formula: what each FFN computes, with linear maps under the neutral name `linear`.
        stack: number of stacked FFNs, 1 to 4.
        ratio: inner width as a fraction of the network's ffn_width: 1, 1/2, 1/3 or 1/4.

    Raises:
        FormulaError: the formula breaks a structural rule, or stack or ratio is invalid.
    """

    formula: Expression
    stack: int
    ratio: Fraction

    def __post_init__(self) -> None:
        if type(self.stack) is not int or self.stack not in STACKS:
            raise FormulaError(f"stack must be one of {STACKS}, got {self.stack!r}")
        if self.ratio not in _RATIOS:
            raise FormulaError(f"ratio must be 1, 1/2, 1/3 or 1/4, got {self.ratio!s}")
        # The check above also accepts 0.5, which has no denominator.
        object.__setattr__(self, "ratio", Fraction(self.ratio))
        problem = violation(self.formula)
        if problem:
            raise FormulaError(f"{self.formula} is not a valid formula: {problem}")
        if any(node.name in LINEAR_OPERATORS for node in self.formula.walk()):
            raise FormulaError(
                f"{self.formula} states stack and ratio a second time; name its linear maps "
                f"{NEUTRAL_LINEAR!r} or use CellSpec.from_text"
            )

    @classmethod
    def from_text(cls, text: str) -> "CellSpec":
        """Reads the paper's text form, such as linear4_2(gelu(linear4_2(x,wb1)),wb2).

        Raises:
            FormulaError: the text cannot be parsed or breaks a structural rule.
        """
        expression = parse(text)
        problem = violation(expression)
        if problem:
            raise FormulaError(f"{expression} is not a valid formula: {problem}")
        linear_name = next(node.name for node in expression.walk() if node.is_linear)
        stack, denominator = LINEAR_OPERATORS[linear_name]
        formula = with_linear_name(expression, NEUTRAL_LINEAR)
        return cls(formula, stack, Fraction(1, denominator))

    @classmethod
    def ordinary(cls, stack: int = 1, ratio: Fraction = Fraction(1)) -> "CellSpec":
        """BERT's own feed-forward network: two linear maps with a gelu between them."""
        x, wb1, wb2 = map(Expression, ("x", "wb1", "wb2"))
        inner = Expression("gelu", (Expression(NEUTRAL_LINEAR, (x, wb1)),))
        return cls(Expression(NEUTRAL_LINEAR, (inner, wb2)), stack, ratio)

    def __str__(self) -> str:
        return str(self.expression)

    @property
    def expression(self) -> Expression:
        """The formula with stack and ratio in its linear maps' names, linearS_R."""
        return with_linear_name(self.formula, f"linear{self.stack}_{self.ratio.denominator}")

    def inner_width(self, ffn_width: int) -> int:
        """Returns w, the columns of W1 and rows of W2: floor(ffn_width x ratio)."""
        return int(ffn_width * self.ratio)

    def canonical(self) -> "CellSpec":
        """Returns the cell with the arguments of add, mul and max in canonical order."""
        return replace(self, formula=canonical(self.formula))
