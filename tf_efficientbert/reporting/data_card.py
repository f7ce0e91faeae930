"""The data section of the page: facts, charts of lengths and classes, problems to fix."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tf_efficientbert.reporting import formats
from tf_efficientbert.reporting.drawing import COLOURS, DARK, FAILED, figure, svg
from tf_efficientbert.reporting.formats import MISSING, finite
from tf_efficientbert.reporting.markup import Child, Markup, element
from tf_efficientbert.reporting.tables import scrolling, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["data_section"]

_NAMED_CLASSES = 12  # with more classes, the chart has curves instead of bars
_BAR_GROUP = 0.8  # of the width of a class
_LISTED = 100  # skipped rows; report.json has all


def data_section(card: dict) -> list[Markup] | None:
    """Returns the data section, or None without a card.

    Args:
        card: see `data.card.describe`. Missing parts are left out.
    """
    if not card:
        return None
    hints = [element("li", str(hint)) for hint in card.get("hints") or ()]
    notes = [element("li", str(note)) for note in card.get("notes") or ()]
    pictures = [picture for picture in (_lengths(card), _classes(card)) if picture]
    parts = [
        _facts(card),
        element("div", element("h3", "Problems to fix"), element("ul", hints), class_="hints")
        if hints
        else None,
        element("div", pictures, class_="grid") if pictures else None,
        _left_out(card.get("left_out") or ()),
        _folded("How the files were read", element("ul", notes)) if notes else None,
    ]
    return [part for part in parts if part]


def _facts(card: dict) -> Markup | None:
    tokens, duplicates = card.get("tokens") or {}, card.get("duplicates") or {}
    facts = [
        ("rows", _listed(card.get("splits") or {})),
        ("columns", _columns(card.get("columns") or {})),
        ("kind", _kind(card)),
        ("targets", _targets(card.get("targets") or {})),
        ("tokens per text", _tokens(tokens)),
        ("texts that are cut", _cut(tokens)),
        ("rows that repeat a text of their split", _whole(duplicates.get("rows"))),
        ("texts with different labels", _whole(duplicates.get("contradicting"))),
        ("rows whose text is in two splits", _listed(card.get("overlap") or {})),
        ("word pieces that are [UNK]", _unknown(finite(card.get("unknown_token_share")))),
        ("rows left out", _whole(len(card.get("left_out") or ()))),
    ]
    drawn = [
        element("div", element("dt", name), element("dd", value)) for name, value in facts if value
    ]
    return element("dl", drawn, class_="facts") if drawn else None


def _lengths(card: dict) -> Markup | None:
    """Draws a histogram of the lengths, with the limit where texts are cut."""
    lengths, tokens = card.get("lengths") or {}, card.get("tokens") or {}
    edges = [finite(edge) for edge in lengths.get("edges") or ()]
    counts = [finite(count) for count in lengths.get("counts") or ()]
    if not counts or len(edges) != len(counts) + 1 or None in edges or None in counts:
        return None
    limit, longest = finite(tokens.get("max_tokens")), finite(tokens.get("max"))
    is_in_sight = limit is not None and limit <= edges[-1]

    def draw(panels: list["Axes"]) -> None:
        (axes,) = panels
        axes.stairs(counts, edges, fill=True, color=COLOURS[0], alpha=0.85)
        if is_in_sight:
            axes.axvline(limit, color=FAILED, lw=1.6, ls=(0, (4, 3)))
        axes.set(xlabel="tokens per text", ylabel="texts", xlim=(0, edges[-1]))

    legend = [("■", COLOURS[0], "texts of all splits")]
    if is_in_sight:
        legend.append(("┆", FAILED, f"cut at {limit:.0f} tokens"))
    note = f"cut: {cut}" if (cut := _cut(tokens)) else ""
    if longest is not None and longest >= edges[-1]:
        note = f"{note}; the last bar counts all up to {longest:,.0f} tokens".lstrip("; ")
    picture = svg("lengths", f"Lengths of texts: {_tokens(tokens) or 'unknown'}", draw)
    return figure("Lengths of texts", picture, note or None, legend)


def _classes(card: dict) -> Markup | None:
    """Draws the frequency of each class by split, the most frequent class first."""
    given = card.get("labels_by_split") or {}
    rows = card.get("splits") or {}
    # Percent of a split's rows, so that splits of all sizes can be compared.
    shares = {
        str(split): {str(name): 100 * (finite(n) or 0) / total for name, n in counts.items()}
        for split, counts in given.items()
        if counts and (total := finite(rows.get(split)))
    }
    if not shares:
        return None
    first = next(iter(shares.values()))
    names = sorted(first, key=lambda name: -first[name])
    heights = {split: [part.get(name, 0) for name in names] for split, part in shares.items()}
    is_curve = len(names) > _NAMED_CLASSES

    def draw(panels: list["Axes"]) -> None:
        (axes,) = panels
        (_draw_curves if is_curve else _draw_bars)(axes, list(heights.values()))
        axes.set(xlabel="class", ylabel="rows, % of the split")
        axes.set_ylim(bottom=0)

    legend = [
        ("━" if is_curve else "■", COLOURS[position % len(COLOURS)], split)
        for position, split in enumerate(heights)
    ]
    note = "share of each split's rows, the most frequent class first"
    label = f"Frequency of {len(names)} classes in {formats.plural(len(heights), 'split')}"
    if not is_curve:
        legend += [(f"{number}", DARK, name) for number, name in enumerate(names, start=1)]
    return figure("Classes", svg("classes", label, draw), note, legend)


def _draw_bars(axes: "Axes", heights: Sequence[Sequence[float]]) -> None:
    width = _BAR_GROUP / len(heights)
    for position, values in enumerate(heights):
        left = [number - _BAR_GROUP / 2 + position * width for number in range(1, len(values) + 1)]
        colour = COLOURS[position % len(COLOURS)]
        axes.bar(left, values, width, align="edge", color=colour, alpha=0.85)
    axes.set_xticks(range(1, len(heights[0]) + 1))
    axes.grid(visible=False, axis="x")


def _draw_curves(axes: "Axes", heights: Sequence[Sequence[float]]) -> None:
    for position, values in enumerate(heights):
        numbers = range(1, len(values) + 1)
        axes.plot(numbers, values, drawstyle="steps-mid", color=COLOURS[position % len(COLOURS)])
    axes.set_xlim(1, len(heights[0]))


def _left_out(rows: Sequence[Any]) -> Markup | None:
    known = [row for row in rows if isinstance(row, dict)]
    if not known:
        return None
    head = ["file", "line", "reason"]
    cells = [[str(row.get(key, MISSING)) for key in head] for row in known[:_LISTED]]
    content: list[Child] = [scrolling(table(head, cells), "rows left out")]
    if len(known) > _LISTED:
        content.append(element("p", f"report.json lists {len(known) - _LISTED:,} more."))
    return _folded(f"{formats.plural(len(known), 'row')} left out", content)


def _folded(summary: str, content: Child) -> Markup:
    return element("details", element("summary", summary), content, class_="about-data")


def _listed(counts: dict) -> str:
    return ", ".join(f"{name} {_whole(count) or MISSING}" for name, count in counts.items())


def _columns(columns: dict) -> str:
    return ", ".join(f"{role}: {column}" for role, column in columns.items())


def _kind(card: dict) -> str:
    classes = f", {len(labels)} classes" if (labels := card.get("labels")) else ""
    return f"{card['kind']}{classes}" if card.get("kind") else ""


def _targets(targets: dict) -> str:
    low, mean, high = (finite(targets.get(key)) for key in ("min", "mean", "max"))
    if low is None or mean is None or high is None:
        return ""
    return f"{low:g} to {high:g}, mean {mean:.4g}"


def _tokens(tokens: dict) -> str:
    half, most, nearly, longest = (_whole(tokens.get(key)) for key in ("p50", "p95", "p99", "max"))
    if not (half and most and nearly and longest):
        return ""
    return f"median {half}, 95 % up to {most}, 99 % up to {nearly}, longest {longest}"


def _cut(tokens: dict) -> str:
    count, share, limit = (finite(tokens.get(key)) for key in ("cut_count", "cut", "max_tokens"))
    if count is None or share is None or limit is None:
        return ""
    if not count:
        return f"none at {limit:,.0f} tokens"
    return f"{count:,.0f} ({100 * share:.1f} %), at {limit:,.0f} tokens"


def _unknown(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f} %"


def _whole(value: Any) -> str:
    number = finite(value)
    return "" if number is None else f"{number:,.0f}"
