"""The section that draws the chosen architecture's cells beside those of a baseline."""

import re

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.reporting.cell_graph import draw_cell
from tf_efficientbert.reporting.markup import Child, Markup, element
from tf_efficientbert.reporting.models import PLAIN, PUBLISHED, SEARCHED, find
from tf_efficientbert.reporting.study import read_architecture

_BESIDE = (PUBLISHED, PLAIN)
_READING = (
    "Read from the bottom up. x is the output of self-attention. W₁ and W₂ are the two linear maps "
    "with their widths. × N stacks N cells with the same formula, each with its own weights. In a "
    "formula below a drawing, linear2_3 is a linear map of a cell that is stacked twice and has a "
    "third of the inner width; wb1 and wb2 are the weights of W₁ and W₂."
)


def cells_section(chosen: Architecture | None, models: list[dict]) -> list[Markup] | None:
    """Draws each layer's cell as a graph; returns None if no architecture has been chosen.

    Args:
        chosen: the architecture of the searched model, or the best candidate so far.
        models: the report's models. The published or else the plain one, if it has an
            architecture, is drawn beside the chosen one.
    """
    if chosen is None:
        return None
    beside = next(((n, a) for n in _BESIDE if (a := _architecture(models, n)) is not None), None)
    layers = max(chosen.num_layers, beside[1].num_layers if beside else 0)
    name = SEARCHED if _architecture(models, SEARCHED) else "best so far"
    columns = [(name, chosen), *([beside] if beside else [])]
    sizes = (
        f"{chosen.num_layers} layers, {chosen.hidden_size} wide, {chosen.num_heads} heads; "
        f"{chosen.embedding} embedding of {chosen.embedding_size}. "
    )
    cards = [
        element(
            "article",
            element("h3", f"Layer {layer + 1}"),
            element(
                "div",
                [_cell(name, architecture, layer) for name, architecture in columns],
                class_="pair",
            ),
        )
        for layer in range(layers)
    ]
    return [
        element("p", sizes + _READING, class_="note"),
        element("div", cards, class_="layers"),
    ]


def _architecture(models: list[dict], name: str) -> Architecture | None:
    return read_architecture((find(models, name) or {}).get("architecture"))


def _cell(name: str, architecture: Architecture, layer: int) -> Markup:
    if layer >= architecture.num_layers:
        missing = f"has {architecture.num_layers} layers"
        return element("figure", element("figcaption", element("strong", name), " ", missing))
    cell = architecture.cells[layer]
    drawing = draw_cell(cell, architecture, f"{name}, layer {layer + 1}: {cell}")
    return element(
        "figure",
        element("figcaption", element("strong", name)),
        element("div", drawing, class_="scroll"),
        element("code", _breakable(str(cell))),
    )


def _breakable(formula: str) -> list[Child]:
    """Returns the formula with a line break opportunity after each parenthesis and comma."""
    return [part for word in re.split(r"(?<=[(,])", formula) for part in (word, element("wbr"))]
