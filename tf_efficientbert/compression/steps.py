"""The steps in `--compress`: parses prune(0.5),quantize(int8), and formats it again."""

import ast
import dataclasses
import re

from tf_efficientbert.errors import UserError

PATTERN = "2:4"
PRECISION = "int8"


@dataclasses.dataclass(frozen=True)
class Prune:
    """Sets the smallest weights of the encoder's linear maps to zero.

    Args:
        amount: the share of each map's weights, above 0 and below 1; or "2:4" for two of every four
            neighbours along a map's inputs.
    """

    amount: float | str

    def __post_init__(self) -> None:
        share = type(self.amount) is float and 0 < self.amount < 1
        if not share and self.amount != PATTERN:
            raise ValueError(f"expected a share above 0 and below 1, or {PATTERN}")

    def __str__(self) -> str:
        return f"prune({self.amount})"


@dataclasses.dataclass(frozen=True)
class Quantize:
    """Trains with weights and inputs of linear maps rounded to int8 as in LiteRT."""

    precision: str = PRECISION

    def __post_init__(self) -> None:
        if self.precision != PRECISION:
            raise ValueError(f"expected {PRECISION}")

    def __str__(self) -> str:
        return f"quantize({self.precision})"


@dataclasses.dataclass(frozen=True)
class Drop:
    """Removes layers.

    Args:
        count: how many layers to remove, those with the least influence; or
        layers: which layers to remove, counted from 1 in the current network, ascending.
    """

    count: int = 0
    layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        numbers = self.layers or (self.count,)
        fits = all(type(number) is int and number > 0 for number in numbers)
        if not fits or (self.layers and self.count) or len(set(numbers)) != len(numbers):
            raise ValueError("expected a number of layers, drop(1), or a list: drop(layers=3+5)")
        object.__setattr__(self, "layers", tuple(sorted(self.layers)))

    @property
    def how_many(self) -> int:
        return self.count or len(self.layers)

    def __str__(self) -> str:
        which = "layers=" + "+".join(map(str, self.layers)) if self.layers else self.count
        return f"drop({which})"


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Removes word pieces, and their rows of the token table, that the texts hardly use.

    It needs no training, and comes last: the teacher has the whole vocabulary.

    Args:
        least: how many times a piece must occur in the training texts to stay.
    """

    least: int

    def __post_init__(self) -> None:
        if type(self.least) is not int or self.least < 1:
            raise ValueError("expected a number of occurrences, vocabulary(1)")

    def __str__(self) -> str:
        return f"vocabulary({self.least})"


Step = Prune | Quantize | Drop | Vocabulary


def parse_steps(text: str) -> tuple[Step, ...]:
    """Parses comma-separated steps, in the form of `str(step)`; empty text gives no steps.

    Raises:
        UserError: a step is invalid.
    """
    try:
        # Quotes 2:4, which is no Python expression.
        tree = ast.parse("[" + re.sub(r"\b(\d+:\d+)\b", r"'\1'", text.strip()) + "]", mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _refused(text, "cannot be parsed") from error
    if not isinstance(tree.body, ast.List):
        raise _refused(text, "cannot be parsed")
    steps = tuple(_step(node, text) for node in tree.body.elts)
    if any(isinstance(step, Vocabulary) for step in steps[:-1]):
        raise _refused(text, "vocabulary must be the last step")
    return steps


def count_trainings(steps: tuple[Step, ...]) -> int:
    """Returns the number of steps that train: all but `Vocabulary`."""
    return sum(not isinstance(step, Vocabulary) for step in steps)


def check_drops(steps: tuple[Step, ...], num_layers: int) -> None:
    """Raises UserError if a step drops a layer that does not exist, or all layers."""
    for step in steps:
        if isinstance(step, Drop):
            if step.how_many >= num_layers or max(step.layers, default=1) > num_layers:
                raise UserError(f"--compress: {step} is not possible with {num_layers} layers")
            num_layers -= step.how_many


def _step(node: ast.expr, text: str) -> Step:
    part = ast.unparse(node).replace("'", "")
    match node:
        case ast.Call(func=ast.Name(id="prune"), args=[ast.Constant(value=amount)], keywords=[]):
            make, arguments = Prune, (amount,)
        case ast.Call(func=ast.Name(id="quantize"), args=[ast.Name(id=name)], keywords=[]):
            make, arguments = Quantize, (name,)
        case ast.Call(func=ast.Name(id="drop"), args=[ast.Constant(value=count)], keywords=[]):
            make, arguments = Drop, (count,)
        case ast.Call(
            func=ast.Name(id="vocabulary"), args=[ast.Constant(value=least)], keywords=[]
        ):
            make, arguments = Vocabulary, (least,)
        case ast.Call(
            func=ast.Name(id="drop"), args=[], keywords=[ast.keyword(arg="layers", value=layers)]
        ):
            make, arguments = Drop, (0, _sum(layers))
        case _:
            raise _refused(text, f"{part} is not a step")
    try:
        return make(*arguments)
    except ValueError as error:
        raise _refused(text, f"{part}: {error}") from error


def _sum(node: ast.expr) -> tuple:
    """Returns the terms of 3+5; terms that are not numbers are kept, `Drop` refuses them."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return (*_sum(node.left), *_sum(node.right))
    return (getattr(node, "value", None),)


def _refused(text: str, problem: str) -> UserError:
    return UserError(
        f"--compress={text}: {problem}; expected comma-separated steps of prune(0.5), prune(2:4), "
        "quantize(int8), drop(1), drop(layers=3+5) and vocabulary(1)"
    )
