"""A Matplotlib figure as inline SVG: small, the same bytes each time, ids unique in the page."""

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tf_efficientbert.reporting.markup import Markup, element

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Apart for colour-blind eyes too, and dark enough on white; each stage also has its own marker.
COLOURS = ("#1d4ed8", "#c2410c", "#0f766e", "#7e22ce", "#a16207", "#be185d")
MARKERS = ("o", "s", "^", "D", "v", "P")
# What stands for them in a legend, which is HTML.
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
    "font.family": "DejaVu Sans",  # it comes with Matplotlib, so that all machines lay out alike
    "font.size": 11,
    "grid.color": "#e2e8f0",
    "path.simplify_threshold": 0.3,
    # Text stays text, in the reader's own font: small, crisp, and found by a search in the page.
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
    """One figure as an SVG element.

    Args:
        key: letters, digits and `-`; goes before each id, so it must be unique in the page.
        label: what a reader who does not see the drawing is told.
        draw: draws on the axes. Texts it takes from a report belong in HTML, not in here.
        panels: axes one above the other that share the horizontal one.
    """
    # Matplotlib takes the better part of a second to import: only who draws waits for it.
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
    """A drawing with its title, what its marks mean (symbol, colour, meaning) and a note."""
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
    # Six digits behind the point are a thousandth of a thousandth of a pixel.
    drawing = re.sub(r"(\d+\.\d{2})\d+", r"\1", drawing)
    drawing = re.sub(r">\s+<", "><", drawing)
    view_box = re.search(r'viewBox="([^"]+)"', drawing)[1]
    body = Markup(drawing[drawing.index(">") + 1 : drawing.rindex("</svg>")])
    return element("svg", body, viewBox=view_box, role="img", aria_label=label)
