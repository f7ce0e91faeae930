import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.architecture.strategies import valid_formulas
from tf_efficientbert.architecture import Architecture, CellSpec
from tf_efficientbert.architecture.expression import WEIGHTS, width_error
from tf_efficientbert.architecture.presets import PRESETS
from tf_efficientbert.reporting.cell_graph import draw_cell

BOX = re.compile(r'<rect x="([-\d.]+)" y="([-\d.]+)" width="([\d.]+)" height="([\d.]+)" rx="7"')
CIRCLE = re.compile(r'<circle cx="([-\d.]+)" cy="([-\d.]+)" r="([\d.]+)"')


def drawn(cell: CellSpec, **sizes: int) -> str:
    network = Architecture.from_formulas([str(cell)], **sizes)
    return draw_cell(network.cells[0], network, "a cell")


def node_names(svg: str) -> Counter:
    return Counter(re.findall(r'data-(?:node|weights)="([^"]*)"', svg))


def places(svg: str) -> list[tuple[float, float, float, float]]:
    """Returns (left, top, right, bottom) of every node."""
    boxes = [tuple(map(float, found)) for found in BOX.findall(svg)]
    circles = [tuple(map(float, found)) for found in CIRCLE.findall(svg)]
    return [(x, y, x + w, y + h) for x, y, w, h in boxes] + [
        (x - r, y - r, x + r, y + r) for x, y, r in circles
    ]


@settings(deadline=None)
@given(formula=valid_formulas().filter(lambda f: width_error(f) is None))
def test_graph_has_each_node_of_the_formula_once(formula):
    cell = CellSpec.from_text(str(formula))
    assert node_names(drawn(cell)) == Counter(node.name for node in cell.formula.walk())


@settings(deadline=None)
@given(formula=valid_formulas().filter(lambda f: width_error(f) is None))
def test_nodes_do_not_overlap_and_lie_inside_the_drawing(formula):
    svg = drawn(CellSpec.from_text(str(formula)))
    width, height = map(float, re.search(r'viewBox="0 0 (\d+) (\d+)"', svg).groups())
    found = places(svg)
    for index, (left, top, right, bottom) in enumerate(found):
        assert left >= 0 and top >= 0 and right <= width and bottom <= height
        for other in found[:index]:
            apart = other[2] <= left or right <= other[0] or other[3] <= top or bottom <= other[1]
            assert apart


@pytest.mark.parametrize("preset", PRESETS)
def test_published_cells_are_drawn(preset):
    network = Architecture.from_preset(preset)
    for cell in network.cells:
        svg = draw_cell(cell, network, "a cell")
        assert sum(node_names(svg)[name] for name in WEIGHTS) == 2
        assert f"× {cell.stack}<" in svg


def test_linear_maps_state_their_widths():
    svg = drawn(CellSpec.from_text("linear2_3(gelu(linear2_3(x,wb1)),wb2)"))
    assert "540 → 180" in svg
    assert "180 → 540" in svg


@given(label=st.text(max_size=20))
def test_label_is_escaped(label):
    network = Architecture.from_preset("efficientbert")
    assert draw_cell(network.cells[0], network, f"<{label}>").count("<title") == 1
