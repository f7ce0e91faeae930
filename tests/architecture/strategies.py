"""Hypothesis strategies for formula trees, shared by the tests of this folder."""

import random

from hypothesis import strategies as st

from tf_efficientbert.architecture.expression import (
    ACTIVATIONS,
    BINARY_OPERATORS,
    LINEAR_OPERATORS,
    TERMINALS,
    Expression,
    parse,
    violation,
)

X, WB1, WB2 = map(Expression, TERMINALS)


def _joined(part: st.SearchStrategy, two_argument_names: tuple[str, ...]) -> st.SearchStrategy:
    unary = st.builds(lambda name, a: Expression(name, (a,)), st.sampled_from(ACTIVATIONS), part)
    binary = st.builds(
        lambda name, a, b: Expression(name, (a, b)), st.sampled_from(two_argument_names), part, part
    )
    return unary | binary


def any_expressions() -> st.SearchStrategy[Expression]:
    """Any tree that can be written down, most of them against the rules."""
    names = (*BINARY_OPERATORS, *LINEAR_OPERATORS)
    leaves = st.sampled_from((X, WB1, WB2))
    return st.recursive(leaves, lambda part: _joined(part, names), max_leaves=12)


@st.composite
def _formulas(draw: st.DrawFn) -> Expression:
    of_x = st.sampled_from(("x", "tanh(x)", "elu(add(x,relu(x)))", "max(swish(x),x)")).map(parse)

    def wrapped(core: Expression, times: int) -> Expression:
        for _ in range(times):
            if core.name not in ACTIVATIONS and draw(st.booleans()):
                core = Expression(draw(st.sampled_from(ACTIVATIONS)), (core,))
            else:
                sides = draw(st.permutations((core, draw(of_x))))
                core = Expression(draw(st.sampled_from(BINARY_OPERATORS)), tuple(sides))
        return core

    linear = draw(st.sampled_from(tuple(LINEAR_OPERATORS)))
    inner = wrapped(Expression(linear, (draw(of_x), WB1)), draw(st.integers(1, 2)))
    return wrapped(Expression(linear, (inner, WB2)), draw(st.integers(0, 2)))


def valid_formulas() -> st.SearchStrategy[Expression]:
    """Formulas that keep every structural rule; only a few are drawn too high."""
    return _formulas().filter(lambda formula: violation(formula) is None)


def with_swaps(expression: Expression, draws: random.Random) -> Expression:
    """The same tree with the arguments of some add, mul and max swapped."""
    parts = tuple(with_swaps(part, draws) for part in expression.arguments)
    if expression.name in BINARY_OPERATORS and draws.random() < 0.5:
        parts = parts[::-1]
    return Expression(expression.name, parts)
