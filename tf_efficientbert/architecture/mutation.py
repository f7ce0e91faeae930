"""Random mutation of formulas by genetic programming, for the search's candidates.

As in Dong et al. 2021 (EfficientBERT, arXiv 2109.07222), DEAP mutates the trees.
"""

import random
from collections.abc import Iterator
from functools import partial

from deap import gp

from tf_efficientbert.architecture.expression import (
    ACTIVATIONS,
    BINARY_OPERATORS,
    LINEAR_OPERATORS,
    TERMINALS,
    WEIGHTS,
    Expression,
    FormulaError,
    violation,
    width_error,
)

_MAX_SUBTREE_DEPTH = 3


def mutate(
    expression: Expression,
    seed: int,
    max_tries: int = 1000,
    *,
    channel_mismatch: str = "slice",
    hidden_size: int | None = None,
    ffn_width: int | None = None,
) -> Expression:
    """Returns a random mutation of a formula that is valid and whose widths fit.

    Each try starts from `expression` and applies subtree replacement (full trees of depth 0 to
    3), node replacement and insertion, in this order. If no try out of `max_tries` gives a valid
    formula, returns `expression` itself. A mutation may also equal it by chance.

    The same arguments give the same result in every process. DEAP draws from Python's global
    `random`, whose state is restored afterwards; other threads must not use it meanwhile.

    Args:
        expression: the formula to vary, with linear maps named linearS_R; they keep that name.
        seed: the seed of all random draws.
        max_tries: the paper's code uses 1,000, and 400 in the second search stage.
        channel_mismatch, hidden_size, ffn_width: the widths to fit, as in `width_error`.

    Raises:
        FormulaError: `expression` itself breaks a rule, or its widths do not fit.
        ValueError: unknown channel_mismatch.
    """
    widths = (channel_mismatch, hidden_size, ffn_width)
    # Widths need the ratio, so this also rejects neutral linear maps.
    linear_names = {node.name for node in expression.walk() if node.name in LINEAR_OPERATORS}
    if len(linear_names) != 1:
        raise FormulaError(f"cannot mutate {expression}: it needs linear maps of one linearS_R")
    problem = violation(expression) or width_error(expression, *widths)
    if problem:
        raise FormulaError(f"cannot mutate {expression}: {problem}")
    primitives = _primitive_set(linear_names.pop())
    nodes = [primitives.mapping[node.name] for node in expression.walk()]
    state = random.getstate()
    random.seed(seed)
    try:
        for _ in range(max_tries):
            tree = _vary(nodes, primitives)
            # Most tries end here, before an expression is built, which takes longer.
            if not _uses_each_weight_once([node.name for node in tree]):
                continue
            candidate = _from_prefix_order(iter(tree))
            if violation(candidate) is None and width_error(candidate, *widths) is None:
                return candidate
        return expression
    finally:
        random.setstate(state)


def _primitive_set(linear_name: str) -> gp.PrimitiveSet:
    """The untyped language a mutation draws from; its trees are never evaluated."""
    primitives = gp.PrimitiveSet("formula", arity=0)
    for name in (linear_name, *BINARY_OPERATORS):
        primitives.addPrimitive(None, 2, name)
    for name in ACTIVATIONS:
        primitives.addPrimitive(None, 1, name)
    for name in TERMINALS:
        primitives.addTerminal(None, name)
    return primitives


def _uses_each_weight_once(names: list[str]) -> bool:
    """Whether a tree, as names in prefix order, has x, and each weight once; see `violation`."""
    return "x" in names and all(names.count(weights) == 1 for weights in WEIGHTS)


def _vary(nodes: list, primitives: gp.PrimitiveSet) -> gp.PrimitiveTree:
    tree = gp.PrimitiveTree(nodes)
    new_subtree = partial(gp.genFull, min_=0, max_=_MAX_SUBTREE_DEPTH)
    (tree,) = gp.mutUniform(tree, expr=new_subtree, pset=primitives)
    (tree,) = gp.mutNodeReplacement(tree, pset=primitives)
    (tree,) = gp.mutInsert(tree, pset=primitives)
    return tree


def _from_prefix_order(nodes: Iterator[gp.Primitive | gp.Terminal]) -> Expression:
    node = next(nodes)
    return Expression(node.name, tuple(_from_prefix_order(nodes) for _ in range(node.arity)))
