"""Matplotlib figures as inline SVG: small, reproducible, with ids that are unique in the page."""

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tf_efficientbert.reporting.markup import Markup, element

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Distinguishable with colour blindness, and dark enough on white. Each stage also has a marker.
COLOURS = ("#1d4ed8", "#c2410c", "#0f766e", "#7e22ce", "#a16207", "#be185d")
MARKERS = ("o", "s", "^", "D", "v", "P")
# The markers as characters, for legends, which are HTML.
SYMBOLS = ("●", "■", "▲", "◆", "▼", "✚")
FAINT, DARK, FAILED = "#94a3b8", "#334155", "#b91c1c"

_SIZE = (4.8, 3.2)
_STYLE = {
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.labelcolor": DARK,
    "axes.labelsize": 11,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",  # comes with Matplotlib, so the layout is the same everywhere
    "font.size": 11,
    "grid.color": "#e2e8f0",
    "path.simplify_threshold": 0.3,
    # Text stays text: small, crisp, and found by a search in the page.
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "xtick.color": DARK,
    "ytick.color": DARK,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


def svg(key: str, label: str, draw: Callable[[list["Axes"]], None], panels: int = 1) -> Markup:
    """Draws a figure and returns it as an SVG element.

    Args:
        key: letters, digits and `-`; prefix of each id, so it must be unique in the page.
        label: the accessible name of the drawing.
        draw: draws on the axes. It must not draw texts from a report, which belong in HTML.
        panels: number of axes, one above the other, that share the horizontal axis.
    """
    # Imported here because Matplotlib takes most of a second to import.
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=_SIZE)
        draw(list(figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]))
        written = io.StringIO()
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(written, format="svg", metadata=metadata)
    return _inlined(written.getvalue(), key, label)


def figure(
    title: str,
    picture: Markup,
    note: str | None = None,
    legend: Sequence[tuple[str, str, str]] = (),
) -> Markup:
    """Returns a drawing with title, note and a legend of (symbol, colour, meaning)."""
    marks = [
        element("li", element("span", symbol, style=f"color:{colour}", aria_hidden="true"), text)
        for symbol, colour, text in legend
    ]
    return element(
        "figure",
        element(
            "figcaption",
            element("strong", title),
            element("span", note) if note else None,
        ),
        picture,
        element("ul", marks, class_="legend") if marks else None,
        class_="chart",
    )


def _inlined(written: str, key: str, label: str) -> Markup:
    drawing = written[written.index("<svg") :].rstrip()
    drawing = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", drawing, flags=re.DOTALL)
    drawing = drawing.replace("xlink:href", "href").replace("'DejaVu Sans'", "system-ui")
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', drawing))
    drawing = re.sub(
        r' id="([^"]+)"',
        lambda found: f' id="{key}-{found[1]}"' if found[1] in used else "",
        drawing,
    )
    drawing = re.sub(r'(href="#|url\(#)', rf"\g<1>{key}-", drawing)
    # Two decimals are enough: Matplotlib's six are a millionth of a pixel.
    drawing = re.sub(r"(\d+\.\d{2})\d+", r"\1", drawing)
    drawing = re.sub(r">\s+<", "><", drawing)
    view_box = re.search(r'viewBox="([^"]+)"', drawing)[1]
    body = Markup(drawing[drawing.index(">") + 1 : drawing.rindex("</svg>")])
    return element("svg", body, viewBox=view_box, role="img", aria_label=label)
