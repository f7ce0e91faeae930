"""Formula trees of the feed-forward cell: parsing, printing, checking and comparing.

A formula defines what one feed-forward network computes, in the text form of Dong et al. 2021
(EfficientBERT, arXiv 2109.07222): `linear4_2(gelu(linear4_2(x,wb1)),wb2)` is the ordinary one
with 4 stacked FFNs at expansion ratio 1/2. `x` is the input, `wb1` and `wb2` are the weights and
biases of the two linear maps.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

ACTIVATIONS = ("gelu", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "swish")
BINARY_OPERATORS = ("add", "mul", "max")
WEIGHTS = ("wb1", "wb2")
TERMINALS = ("x", *WEIGHTS)
STACKS = RATIO_DENOMINATORS = (1, 2, 3, 4)
# Name -> (stacked FFNs S, ratio denominator R).
LINEAR_OPERATORS = {f"linear{s}_{r}": (s, r) for s in STACKS for r in RATIO_DENOMINATORS}
# The name of a linear map if stack and ratio are stated elsewhere.
NEUTRAL_LINEAR = "linear"
MIN_HEIGHT, MAX_HEIGHT = 3, 7

_ARITY = (
    dict.fromkeys(TERMINALS, 0)
    | dict.fromkeys(ACTIVATIONS, 1)
    | dict.fromkeys((*BINARY_OPERATORS, *LINEAR_OPERATORS, NEUTRAL_LINEAR), 2)
)
# A valid formula stays far below both limits; they keep hostile text from exhausting the parser.
_MAX_CHARACTERS = 10_000
_MAX_NESTING = 100

# channel_mismatch -> (usual hidden size, FFN width as a multiple of the hidden size).
_USUAL_WIDTHS = {"slice": (540, 1), "pad": (768, 4)}
CHANNEL_MISMATCHES = tuple(_USUAL_WIDTHS)


class FormulaError(ValueError):
    """A formula cannot be parsed, or breaks a structural rule."""


@dataclass(frozen=True)
class Expression:
    """A node of a formula tree with its subtrees; `str` gives the paper's text form.

    Args:
        name: operator, activation or terminal; `linear` is a linear map without stack and ratio.
        arguments: the subtrees, as many as the operator takes.

    Raises:
        FormulaError: unknown name, or the wrong number of arguments for it.
    """

    name: str
    arguments: tuple["Expression", ...] = ()

    def __post_init__(self) -> None:
        if self.name not in _ARITY:
            raise FormulaError(
                f"unknown operator or terminal {self.name!r}; expected one of linearS_R (S and R "
                f"in 1..4), {', '.join((*BINARY_OPERATORS, *ACTIVATIONS, *TERMINALS))}"
            )
        if len(self.arguments) != _ARITY[self.name]:
            raise FormulaError(
                f"{self.name!r} takes {_ARITY[self.name]} arguments, got {len(self.arguments)}"
            )

    def __str__(self) -> str:
        if not self.arguments:
            return self.name
        return f"{self.name}({','.join(map(str, self.arguments))})"

    @property
    def height(self) -> int:
        """Edges from this node down to its deepest leaf; the ordinary FFN has 3."""
        return 1 + max(part.height for part in self.arguments) if self.arguments else 0

    @property
    def is_linear(self) -> bool:
        """Whether this node is one of the two linear maps."""
        return self.name == NEUTRAL_LINEAR or self.name in LINEAR_OPERATORS

    def walk(self) -> Iterator["Expression"]:
        """Yields this node, then every node below it, in prefix (reading) order."""
        yield self
        for part in self.arguments:
            yield from part.walk()


def parse(text: str) -> Expression:
    """Parses a formula in the paper's text form; ignores spaces between its parts.

    Checks only the syntax, not the structural rules (see `violation`).

    Raises:
        FormulaError: the text cannot be parsed; the message names the part and the text.
    """
    if not isinstance(text, str):
        raise FormulaError(f"a formula is text, got {type(text).__name__} {text!r}")
    # One line of ASCII, so that the parser's column offsets are positions in it.
    line = " ".join(text.split())
    try:
        _check_readable(line)
        return _from_syntax(ast.parse(line, mode="eval").body, line)
    except FormulaError as error:
        reason = str(error)
    except SyntaxError as error:
        reason = f"{error.msg} at position {(error.offset or 1) - 1}"
    except (ValueError, RecursionError, MemoryError) as error:
        reason = f"too much for the parser ({type(error).__name__})"
    raise FormulaError(f"cannot read formula {_shown(line)}: {reason}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 200 else text[:200] + "...")


def _check_readable(line: str) -> None:
    """Rejects text that Python's parser must not get: invalid characters, too long or too deep."""
    foreign = re.search(r"[^A-Za-z0-9_(), ]", line)
    if foreign:
        raise FormulaError(f"character {foreign[0]!r} at position {foreign.start()}")
    if len(line) > _MAX_CHARACTERS:
        raise FormulaError(f"{len(line)} characters, at most {_MAX_CHARACTERS} allowed")
    depth = deepest = 0
    for bracket in re.findall(r"[()]", line):
        depth += 1 if bracket == "(" else -1
        deepest = max(deepest, depth)
    if deepest > _MAX_NESTING:
        raise FormulaError(f"nested {deepest} deep, at most {_MAX_NESTING} allowed")


def _from_syntax(node: ast.expr, line: str) -> Expression:
    if isinstance(node, ast.Name):
        name, parts = node.id, []
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name, parts = node.func.id, node.args
    else:
        piece = _shown(line[node.col_offset : node.end_col_offset])
        raise FormulaError(f"{piece} is neither a terminal nor an operator with arguments")
    if name == NEUTRAL_LINEAR:
        raise FormulaError("'linear' lacks its stack and ratio; write linearS_R, S and R in 1..4")
    return Expression(name, tuple(_from_syntax(part, line) for part in parts))


def violation(expression: Expression) -> str | None:
    """Returns the first structural rule that a formula breaks, in words, or None.

    The rules of the search space (Dong et al. 2021, arXiv 2109.07222): height 3 to 7; x appears;
    W1 and W2 are each used once, W1 first in reading order, as the weights of two linear maps of
    the same stack and ratio that are not directly nested; no activation of an activation; no
    add, mul or max of two identical arguments. For widths see `width_error`.
    """
    if not MIN_HEIGHT <= expression.height <= MAX_HEIGHT:
        return f"height is {expression.height}, must be {MIN_HEIGHT} to {MAX_HEIGHT}"
    nodes = list(expression.walk())
    return _weights_violation(nodes) or _nesting_violation(nodes)


def _weights_violation(nodes: list[Expression]) -> str | None:
    terminals = [node.name for node in nodes if not node.arguments]
    if "x" not in terminals:
        return "x does not appear"
    for weights in WEIGHTS:
        if terminals.count(weights) != 1:
            return f"{weights} appears {terminals.count(weights)} times, must appear once"
    if terminals.index("wb1") > terminals.index("wb2"):
        return "wb2 comes before wb1"
    linear_maps = [node for node in nodes if node.is_linear]
    if [node.arguments[1].name for node in linear_maps] not in (["wb1", "wb2"], ["wb2", "wb1"]):
        return "wb1 and wb2 must be the second arguments of the two linear maps"
    if linear_maps[0].name != linear_maps[1].name:
        return f"{linear_maps[0].name} and {linear_maps[1].name} differ in stack or ratio"
    return None


def _nesting_violation(nodes: list[Expression]) -> str | None:
    for node in nodes:
        if node.is_linear and node.arguments[0].is_linear:
            return f"{node} applies a linear map directly to a linear map"
        if node.name in ACTIVATIONS and node.arguments[0].name in ACTIVATIONS:
            return f"{node} applies an activation directly to an activation"
        if node.name in BINARY_OPERATORS and node.arguments[0] == node.arguments[1]:
            return f"{node} has two identical arguments"
    return None


def is_valid(text: str) -> bool:
    """Whether text is a formula that follows every structural rule; False if it is unreadable."""
    try:
        return violation(parse(text)) is None
    except FormulaError:
        return False


def width_error(
    expression: Expression,
    channel_mismatch: str = "slice",
    hidden_size: int | None = None,
    ffn_width: int | None = None,
) -> str | None:
    """Returns the first mismatch of widths in a formula, in words and numbers, or None.

    x has width d = hidden_size, W1 is [d, w] and W2 is [w, d] with w = floor(ffn_width / R). If
    the sides of add, mul or max differ, the result has the smaller width under "slice" and the
    larger under "pad" (Dong et al. 2021, arXiv 2109.07222).

    Args:
        expression: a formula whose linear maps state their ratio (linearS_R).
        channel_mismatch: "slice" or "pad".
        hidden_size: d; by default 540 under "slice" and 768 under "pad".
        ffn_width: the inner width at ratio 1; by default d under "slice" and 4d under "pad".

    Raises:
        FormulaError: a linear map has the neutral name, which states no ratio.
        ValueError: unknown channel_mismatch.
    """
    if channel_mismatch not in _USUAL_WIDTHS:
        raise ValueError(
            f"channel_mismatch must be one of {CHANNEL_MISMATCHES}, got {channel_mismatch!r}"
        )
    usual_hidden, multiple = _USUAL_WIDTHS[channel_mismatch]
    hidden_size = usual_hidden if hidden_size is None else hidden_size
    ffn_width = multiple * hidden_size if ffn_width is None else ffn_width
    joined = min if channel_mismatch == "slice" else max
    try:
        width = _width(expression, joined, hidden_size, ffn_width)
    except _WidthMismatch as mismatch:
        return str(mismatch)
    if width != hidden_size:
        return f"the result of {expression} is {width} wide, must be {hidden_size}"
    return None


class _WidthMismatch(Exception):
    pass


def _width(
    node: Expression, joined: Callable[[int, int], int], hidden_size: int, ffn_width: int
) -> int:
    if node.name == "x":
        return hidden_size
    if node.name in WEIGHTS:
        raise _WidthMismatch(f"{node} is a linear map's weights, used here as a tensor")
    width = _width(node.arguments[0], joined, hidden_size, ffn_width)
    if node.name in ACTIVATIONS:
        return width
    if node.name in BINARY_OPERATORS:
        return joined(width, _width(node.arguments[1], joined, hidden_size, ffn_width))
    if node.name == NEUTRAL_LINEAR:
        raise FormulaError(f"{node} has no widths without a ratio; name its linear maps linearS_R")
    inner_width = ffn_width // LINEAR_OPERATORS[node.name][1]
    if inner_width < 1:
        raise _WidthMismatch(f"{node.name} leaves no inner width out of {ffn_width}")
    shapes = {"wb1": (hidden_size, inner_width), "wb2": (inner_width, hidden_size)}
    weights = node.arguments[1].name
    if weights not in shapes:
        raise _WidthMismatch(f"{node} has {node.arguments[1]} where wb1 or wb2 belongs")
    if width != shapes[weights][0]:
        raise _WidthMismatch(
            f"{node.arguments[0]} is {width} wide, {weights} takes {shapes[weights][0]}"
        )
    return shapes[weights][1]


def widths_fit(
    text: str,
    channel_mismatch: str = "slice",
    hidden_size: int | None = None,
    ffn_width: int | None = None,
) -> bool:
    """Whether all widths in a formula fit (see `width_error`); False if it is unreadable.

    Raises:
        ValueError: unknown channel_mismatch.
    """
    try:
        expression = parse(text)
    except FormulaError:
        return False
    return width_error(expression, channel_mismatch, hidden_size, ffn_width) is None


def canonical(expression: Expression) -> Expression:
    """Returns one form for all formulas that differ only in the argument order of add, mul, max.

    Only commutativity is used. Associativity does not hold exactly: if widths differ, slicing
    depends on the order of the operations. A valid formula has a valid canonical form.
    """
    parts = tuple(canonical(part) for part in expression.arguments)
    if expression.name not in BINARY_OPERATORS:
        return Expression(expression.name, parts)
    first, second = sorted(parts, key=_canonical_order)
    if first == second:
        # Arguments such as mul(x,tanh(x)) and mul(tanh(x),x) differ as text, so the formula is
        # valid. Swapping inside one of them keeps it valid, with the same result for all orders.
        second = _swapped(second)
    return Expression(expression.name, (first, second))


def _canonical_order(expression: Expression) -> tuple[bool, str]:
    # W1 must stay before W2 in reading order, so the side with W1 goes first.
    holds_first_weights = any(node.name == "wb1" for node in expression.walk())
    return not holds_first_weights, str(expression)


def _swapped(expression: Expression) -> Expression:
    """Swaps the arguments of the first add, mul or max whose arguments differ, if any."""
    parts = expression.arguments
    if expression.name in BINARY_OPERATORS and parts[0] != parts[1]:
        return Expression(expression.name, parts[::-1])
    for index, part in enumerate(parts):
        swapped = _swapped(part)
        if swapped != part:
            return Expression(expression.name, (*parts[:index], swapped, *parts[index + 1 :]))
    return expression


def with_linear_name(expression: Expression, name: str) -> Expression:
    """Returns the formula with both linear maps named `name`: linearS_R, or neutral `linear`."""
    parts = tuple(with_linear_name(part, name) for part in expression.arguments)
    return Expression(name if expression.is_linear else expression.name, parts)
