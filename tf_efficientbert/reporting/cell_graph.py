"""Draws a feed-forward cell as a graph in inline SVG: x at the bottom, the output on top.

Each stacked FFN computes LayerNorm(x + Dropout(f(x))) (Dong et al. 2021, arXiv 2109.07222). The
frame holds one FFN; its label gives their number. Colours come from the page's stylesheet.
"""

from dataclasses import dataclass, field

from tf_efficientbert.architecture import Architecture, CellSpec
from tf_efficientbert.architecture.expression import ACTIVATIONS, Expression
from tf_efficientbert.reporting.markup import Markup, element

_ROW, _HEIGHT, _GAP = 54, 34, 14
_X_RADIUS = 13
_MARGIN, _RAIL, _LABEL = 14, 20, 26
_WEIGHTS = {"wb1": "W₁", "wb2": "W₂"}
_NORM_WIDTH = 116


@dataclass
class _Node:
    """A node with its subtrees; `x` is its centre, `row` counts from the leaves up."""

    expression: Expression
    below: list["_Node"]
    row: int
    x: float = 0.0
    # Row -> (leftmost, rightmost) of the subtree, relative to the node's centre.
    contour: dict[int, tuple[float, float]] = field(default_factory=dict)

    @property
    def half_width(self) -> float:
        if self.expression.name == "x":
            return _X_RADIUS
        if self.expression.is_linear:
            return 44
        return 12 + 3.6 * len(self.expression.name)


def draw_cell(cell: CellSpec, architecture: Architecture, label: str) -> Markup:
    """Draws one layer's cell as an SVG element of its natural size.

    Every node of the formula is a group with its name in `data-node`. A linear map's weights are
    part of its box and named in its `data-weights`.

    Args:
        cell: the cell to draw.
        architecture: the network it is part of, for the widths of the linear maps.
        label: the accessible name of the drawing.
    """
    root = _laid_out(cell.formula)
    left = -min(low for low, _ in root.contour.values())
    right = max(high for _, high in root.contour.values())
    left, right = max(left, _NORM_WIDTH / 2), max(right, _NORM_WIDTH / 2)
    _place(root, 2 * _MARGIN + left)
    rail = 2 * _MARGIN + left + right + _RAIL
    width = rail + 2 * _MARGIN
    # From the top: output, frame with its label, LayerNorm, the formula, bus, input.
    top = _MARGIN + _LABEL
    first_row = top + _HEIGHT / 2 + _ROW
    leaves = first_row + root.row * _ROW
    bus = leaves + _X_RADIUS + 14
    height = bus + _MARGIN + 20

    def y(node: _Node) -> float:
        return leaves - node.row * _ROW

    nodes = _walk(root)
    parts = [
        _frame(cell, width, bus),
        _residual(root, nodes, rail, top + _HEIGHT / 2, bus, height),
        _path((root.x, y(root) - _HEIGHT / 2), (root.x, top + _HEIGHT), arrow=True),
        [_edges(node, y) for node in nodes],
        _box("norm", root.x, top + _HEIGHT / 2, _NORM_WIDTH / 2, ("add & LayerNorm",)),
        [_drawn(node, y(node), cell, architecture) for node in nodes],
    ]
    return element(
        "svg",
        element("title", label),
        *parts,
        class_="cell",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=f"{width:.0f}",
        height=f"{height:.0f}",
        role="img",
        aria_label=label,
    )


def _laid_out(expression: Expression) -> _Node:
    """Lays out the tree as narrow as its contours allow; positions are relative to the parent."""
    parts = expression.arguments[:1] if expression.is_linear else expression.arguments
    below = [_laid_out(part) for part in parts]
    node = _Node(expression, below, 1 + max((child.row for child in below), default=-1))
    if len(below) == 2:
        apart = _distance(below[0], below[1])
        below[0].x, below[1].x = -apart / 2, apart / 2
    for child in below:
        # The edge from the child up to its parent needs room, too.
        lanes = {row: (0.0, 0.0) for row in range(child.row + 1, node.row)}
        for row, (low, high) in (child.contour | lanes).items():
            known = node.contour.get(row, (low + child.x, high + child.x))
            node.contour[row] = (min(known[0], low + child.x), max(known[1], high + child.x))
    node.contour[node.row] = (-node.half_width, node.half_width)
    return node


def _distance(left: _Node, right: _Node) -> float:
    top = max(left.row, right.row)

    def reach(node: _Node, row: int, side: int) -> float:
        return node.contour[row][side] if row in node.contour else 0.0

    return max(reach(left, row, 1) - reach(right, row, 0) + _GAP for row in range(top + 1))


def _place(node: _Node, x: float) -> None:
    node.x = x
    for child in node.below:
        _place(child, x + child.x)


def _walk(node: _Node) -> list[_Node]:
    return [node, *(part for child in node.below for part in _walk(child))]


def _frame(cell: CellSpec, width: float, bus: float) -> Markup:
    frame = element(
        "rect",
        class_="frame",
        x=f"{_MARGIN / 2:g}",
        y=f"{_MARGIN:g}",
        width=f"{width - _MARGIN:.1f}",
        height=f"{bus - _MARGIN + 12:.1f}",
        rx="10",
    )
    label = _text(f"× {cell.stack}", width - _MARGIN - 4, _MARGIN + 17, "repeat")
    return Markup(frame + label)


def _residual(
    root: _Node, nodes: list[_Node], rail: float, norm: float, bus: float, height: float
) -> Markup:
    """Draws the input to every x and around the formula to the sum, and the output."""
    leaves = [node.x for node in nodes if node.expression.name == "x"]
    first = min(leaves)
    lines = [_path((x, bus), (x, bus - 14), arrow=True, kind="bus") for x in leaves]
    beside = root.x + _NORM_WIDTH / 2
    lines.append(
        element(
            "path",
            class_="edge bus",
            d=f"M{first:.1f},{bus:.1f} H{rail - 8:.1f} Q{rail:.1f},{bus:.1f} {rail:.1f},"
            f"{bus - 8:.1f} V{norm + 8:.1f} Q{rail:.1f},{norm:.1f} {rail - 8:.1f},{norm:.1f} "
            f"H{beside + 5:.1f}",
        )
    )
    lines.append(_head(beside, norm, "left"))
    lines.append(_path((first, height - 2), (first, bus), kind="bus"))
    lines.append(_path((root.x, norm - _HEIGHT / 2), (root.x, 2), arrow=True))
    return Markup("".join(lines))


def _edges(node: _Node, y) -> list[Markup]:
    """Draws the edges into a node: straight up, then bent towards its port in the last gap."""
    drawn = []
    for position, child in enumerate(node.below):
        port = node.x
        if len(node.below) == 2:
            port += (position - 0.5) * min(node.half_width, 24)
        radius = _X_RADIUS if child.expression.name == "x" else _HEIGHT / 2
        start, bend, end = y(child) - radius, y(node) + _ROW - _HEIGHT / 2, y(node) + _HEIGHT / 2
        middle = (bend + end) / 2
        drawn.append(
            element(
                "path",
                class_="edge",
                d=f"M{child.x:.1f},{start:.1f} V{min(bend, start):.1f} C{child.x:.1f},{middle:.1f} "
                f"{port:.1f},{middle:.1f} {port:.1f},{end + 5:.1f}",
            )
        )
        drawn.append(_head(port, end, "up"))
    return drawn


def _drawn(node: _Node, y: float, cell: CellSpec, architecture: Architecture) -> Markup:
    name = node.expression.name
    if name == "x":
        circle = element("circle", cx=f"{node.x:.1f}", cy=f"{y:.1f}", r=str(_X_RADIUS))
        label = _text("x", node.x, y + 4)
        return element("g", circle, label, class_="node input", data_node="x")
    if not node.expression.is_linear:
        kind = "activation" if name in ACTIVATIONS else "operator"
        return _box(kind, node.x, y, node.half_width, (name,), data_node=name)
    weights = node.expression.arguments[1].name
    widths = [architecture.hidden_size, cell.inner_width(architecture.ffn_width)]
    if weights == "wb2":
        widths.reverse()
    lines = (f"linear {_WEIGHTS[weights]}", f"{widths[0]} → {widths[1]}")
    marks = {"data_node": name, "data_weights": weights}
    return _box("linear", node.x, y, node.half_width, lines, **marks)


def _box(
    kind: str, x: float, y: float, half_width: float, lines: tuple[str, ...], **marks: str
) -> Markup:
    shape = element(
        "rect",
        x=f"{x - half_width:.1f}",
        y=f"{y - _HEIGHT / 2:.1f}",
        width=f"{2 * half_width:.1f}",
        height=f"{_HEIGHT}",
        rx="7",
    )
    if len(lines) == 1:
        texts = [_text(lines[0], x, y + 4)]
    else:
        texts = [_text(lines[0], x, y - 3), _text(lines[1], x, y + 12, "small")]
    return element("g", shape, texts, class_=f"node {kind}", **marks)


def _text(text: str, x: float, y: float, kind: str | None = None) -> Markup:
    return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", class_=kind)


def _path(
    start: tuple[float, float], end: tuple[float, float], arrow: bool = False, kind: str = ""
) -> Markup:
    """Draws a vertical line, optionally with an arrow head at its end."""
    stop = end[1] + (5 if arrow else 0)
    line = element(
        "path",
        class_=f"edge {kind}".strip(),
        d=f"M{start[0]:.1f},{start[1]:.1f} V{stop:.1f}",
    )
    return Markup(line + _head(*end, "up")) if arrow else line


def _head(x: float, y: float, way: str) -> Markup:
    corners = {"up": (-3.5, 6, 3.5, 6), "left": (6, -3.5, 6, 3.5)}[way]
    a, b, c, d = corners
    points = f"{x:.1f},{y:.1f} {x + a:.1f},{y + b:.1f} {x + c:.1f},{y + d:.1f}"
    return element("polygon", class_="head", points=points)
