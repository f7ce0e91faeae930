"""Networks as data: `CellSpec` for a layer's feed-forward cell, `Architecture` for the whole.

All code that builds, counts, slices, searches or exports a network reads an `Architecture`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction

from tf_efficientbert.architecture import cost
from tf_efficientbert.architecture.expression import (
    CHANNEL_MISMATCHES,
    LINEAR_OPERATORS,
    NEUTRAL_LINEAR,
    RATIO_DENOMINATORS,
    STACKS,
    Expression,
    FormulaError,
    canonical,
    parse,
    violation,
    width_error,
    with_linear_name,
)
from tf_efficientbert.architecture.presets import PRESETS

EMBEDDINGS = ("trigram", "bert")
_SIZES = ("hidden_size", "ffn_width", "num_heads", "embedding_size")
_RATIOS = tuple(Fraction(1, denominator) for denominator in RATIO_DENOMINATORS)


class ArchitectureError(ValueError):
    """A network description that cannot be built."""


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


@dataclass(frozen=True)
class Architecture:
    """A BERT-like encoder: an embedding, then layers of self-attention and a feed-forward cell.

    Describes students, supernets and teachers (Dong et al. 2021, arXiv 2109.07222).

    Args:
        hidden_size: d, the width between layers.
        ffn_width: the inner width of an FFN at ratio 1.
        num_heads: attention heads; divides hidden_size.
        embedding_size: width of the token table; replaced by hidden_size for embedding="bert".
        embedding: "trigram" (next, current and previous token through a Dense layer) or "bert".
        channel_mismatch: how add, mul and max treat sides of different width, "slice" or "pad".
        cells: one per layer, first to last.

    Raises:
        ArchitectureError: a size, name or cell is invalid; the message names the layer.
    """

    hidden_size: int
    ffn_width: int
    num_heads: int
    embedding_size: int
    embedding: str
    channel_mismatch: str
    cells: tuple[CellSpec, ...]

    def __post_init__(self) -> None:
        if self.embedding == "bert":
            object.__setattr__(self, "embedding_size", self.hidden_size)
        object.__setattr__(self, "cells", tuple(self.cells))
        self._check_sizes()
        self._check_cells()

    def _check_sizes(self) -> None:
        for name in _SIZES:
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ArchitectureError(f"{name} must be a positive integer, got {value!r}")
        if self.hidden_size % self.num_heads:
            raise ArchitectureError(
                f"hidden_size ({self.hidden_size}) must be a multiple of num_heads "
                f"({self.num_heads})"
            )
        for name, known in (("embedding", EMBEDDINGS), ("channel_mismatch", CHANNEL_MISMATCHES)):
            if getattr(self, name) not in known:
                raise ArchitectureError(
                    f"{name} must be one of {known}, got {getattr(self, name)!r}"
                )

    def _check_cells(self) -> None:
        if not self.cells:
            raise ArchitectureError("an architecture needs at least one cell, got none")
        for layer, cell in enumerate(self.cells, start=1):
            if not isinstance(cell, CellSpec):
                raise ArchitectureError(
                    f"layer {layer} of {self.num_layers}: expected a CellSpec, got {cell!r}"
                )
            problem = width_error(
                cell.expression, self.channel_mismatch, self.hidden_size, self.ffn_width
            )
            if problem:
                raise ArchitectureError(
                    f"layer {layer} of {self.num_layers}: {cell} does not fit hidden_size "
                    f"{self.hidden_size} and ffn_width {self.ffn_width} under channel_mismatch "
                    f"{self.channel_mismatch!r}: {problem}"
                )

    @classmethod
    def from_preset(cls, name: str) -> "Architecture":
        """Returns one of the published architectures by name.

        Raises:
            ArchitectureError: the name is unknown; the message lists the known ones.
        """
        if name not in PRESETS:
            raise ArchitectureError(f"unknown preset {name!r}; known are {', '.join(PRESETS)}")
        return cls.from_formulas(**PRESETS[name])

    @classmethod
    def from_formulas(
        cls,
        formulas: Sequence[str],
        hidden_size: int = 540,
        ffn_width: int = 540,
        num_heads: int = 12,
        embedding_size: int = 128,
        embedding: str = "trigram",
        channel_mismatch: str = "slice",
    ) -> "Architecture":
        """Makes an architecture from formulas in the paper's text form, one per layer in order.

        Raises:
            ArchitectureError: a formula (the message names its layer) or another value is invalid.
        """
        if isinstance(formulas, str) or not isinstance(formulas, Sequence):
            raise ArchitectureError(f"formulas must be a list, one per layer, got {formulas!r}")
        cells = []
        for layer, text in enumerate(formulas, start=1):
            try:
                cells.append(CellSpec.from_text(text))
            except FormulaError as error:
                raise ArchitectureError(f"layer {layer} of {len(formulas)}: {error}") from error
        return cls(
            hidden_size=hidden_size,
            ffn_width=ffn_width,
            num_heads=num_heads,
            embedding_size=embedding_size,
            embedding=embedding,
            channel_mismatch=channel_mismatch,
            cells=tuple(cells),
        )

    @classmethod
    def from_json(cls, text: str) -> "Architecture":
        """Reads the text of `to_json`.

        Raises:
            ArchitectureError: the text is not a JSON object, a key is missing or unknown, or a
                value is invalid.
        """
        try:
            given = json.loads(text)
        except json.JSONDecodeError as error:
            raise ArchitectureError(f"an architecture's JSON cannot be read: {error}") from error
        if not isinstance(given, dict):
            raise ArchitectureError(
                f"an architecture's JSON must be an object, got {type(given).__name__}"
            )
        expected = {field.name for field in fields(cls)} - {"cells"} | {"formulas"}
        for kind, keys in (
            ("misses", expected - set(given)),
            ("has unknown", set(given) - expected),
        ):
            if keys:
                raise ArchitectureError(f"an architecture's JSON {kind} {', '.join(sorted(keys))}")
        return cls.from_formulas(**given)

    def to_json(self) -> str:
        """Returns indented JSON with formulas in the paper's text form, for `from_json`."""
        described = {field.name: getattr(self, field.name) for field in fields(self)}
        del described["cells"]
        return json.dumps({**described, "formulas": self.formulas}, indent=2)

    @property
    def num_layers(self) -> int:
        """Number of layers, each of one self-attention and one FFN cell."""
        return len(self.cells)

    @property
    def formulas(self) -> tuple[str, ...]:
        """Each layer's cell in the paper's text form, first to last."""
        return tuple(map(str, self.cells))

    def canonical(self) -> "Architecture":
        """Returns the network with cells in canonical form; equal networks give equal results."""
        return replace(self, cells=tuple(cell.canonical() for cell in self.cells))

    def with_ordinary_cells(self) -> "Architecture":
        """Returns the network with the ordinary formula in each cell; stacks and ratios stay."""
        return replace(
            self, cells=tuple(CellSpec.ordinary(cell.stack, cell.ratio) for cell in self.cells)
        )

    def supernet(self) -> "Architecture":
        """Returns the supernet for this network: 4 ordinary FFNs at ratio 1 per layer."""
        return replace(self, cells=(CellSpec.ordinary(stack=max(STACKS)),) * self.num_layers)

    def count_parameters(
        self,
        fit_size: int | None = 768,
        vocabulary_size: int = 30522,
        max_positions: int = 512,
    ) -> int:
        """Trainable numbers, task head and pooler left out (see `cost.count_parameters`)."""
        return cost.count_parameters(self, fit_size, vocabulary_size, max_positions)

    def count_macs(self, sequence_length: int = 128) -> int:
        """Multiply-adds for one sequence of that many tokens (see `cost.count_macs`)."""
        return cost.count_macs(self, sequence_length)
