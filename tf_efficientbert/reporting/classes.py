"""Scores by class, and confusion matrices."""

from collections.abc import Sequence

from tf_efficientbert.reporting import formats
from tf_efficientbert.reporting.formats import MISSING, finite
from tf_efficientbert.reporting.markup import Child, Markup, element
from tf_efficientbert.reporting.tables import scrolling, table

__all__ = ["classes_table", "confusion"]

_ALL_SHOWN = 12  # with more classes, only the worst are shown
_WORST = 10
_FIGURES = ("precision", "recall", "f1")


def classes_table(name: str, classes: Sequence[dict]) -> Markup | None:
    """Shows precision, recall, F1 and examples of each class, or of the ten with the lowest F1.

    Args:
        name: the model's name.
        classes: {"label", "precision", "recall", "f1", "support"} of each class. A missing value
            is shown as missing.

    Returns: a figure, or None without classes.
    """
    if not classes:
        return None
    tested = [each for each in classes if finite(each.get("support")) != 0]
    shown, about = list(classes), ""
    if len(classes) > _ALL_SHOWN:
        shown = sorted(tested, key=lambda each: finite(each.get("f1")) or 0.0)[:_WORST]
        about = f"the {len(shown)} of {len(classes)} classes with the lowest F1"
        if left_out := len(classes) - len(tested):
            about += f" ({left_out} without examples left out)"
    head = ["class", *map(formats.metric_name, _FIGURES), "examples"]
    rows = [_class_row(each) for each in shown]
    return _figure(name, about, table(head, rows), f"classes of {name}")


def confusion(name: str, labels: Sequence, counts: Sequence[Sequence | None]) -> Markup | None:
    """Shows a confusion matrix, shaded by each row's shares, or the most confused pairs of classes.

    Args:
        name: the model's name.
        labels: the class names.
        counts: number of examples, [true][predicted].

    Returns: a figure, or None if the shape of `counts` is wrong.
    """
    names = list(map(str, labels))
    square = len(counts) == len(names) and all(len(row or ()) == len(names) for row in counts)
    if not names or not square:
        return None
    numbers = [[finite(value) for value in row] for row in counts]
    if len(names) > _ALL_SHOWN:
        return _confused_pairs(name, names, numbers)
    return _figure(name, "", _matrix(names, numbers), f"confusion matrix of {name}")


def _class_row(given: dict) -> list[Child]:
    support = finite(given.get("support"))
    figures = [formats.score(finite(given.get(key)), key) for key in _FIGURES]
    if support == 0:  # nothing could be found, so that these 0 % say nothing
        figures[1:] = [MISSING, MISSING]
    examples = MISSING if support is None else f"{support:,.0f}"
    return [str(given.get("label") or MISSING), *figures, examples]


def _matrix(names: list[str], counts: list[list[float | None]]) -> Markup:
    rows = []
    for row, (label, numbers) in enumerate(zip(names, counts, strict=True)):
        total = _total(numbers)
        cells = [
            _shaded(number, number / total if number and total else 0, column == row)
            for column, number in enumerate(numbers)
        ]
        rows.append(element("tr", element("th", label, scope="row"), cells))
    columns = [element("th", label, scope="col") for label in names]
    corner = element("td", "true ↓  predicted →", class_="corner")
    return element(
        "table",
        element("thead", element("tr", corner, columns)),
        element("tbody", rows),
        class_="confusion",
    )


def _confused_pairs(name: str, names: list[str], counts: list[list[float | None]]) -> Markup:
    """Shows the most confused pairs of classes, by count, then by share of the true class."""
    found = []
    for row, numbers in enumerate(counts):
        total = _total(numbers)
        for column, number in enumerate(numbers):
            if column != row and number and number > 0:
                found.append((number, number / total, row, column))
    found.sort(key=lambda pair: (-pair[0], -pair[1]))
    if not found:
        return _figure(name, "no class was confused with another", None, "")
    rows = [
        [names[row], names[column], f"{number:,.0f}", formats.score(share, "accuracy")]
        for number, share, row, column in found[:_WORST]
    ]
    about = f"the most confused of {len(names)} classes"
    head = ["true class", "predicted class", "examples", "share of the true class"]
    drawn = element("div", table(head, rows), class_="pairs")
    return _figure(name, about, drawn, f"most confused classes of {name}")


def _figure(name: str, about: str, drawn: Markup | None, label: str) -> Markup:
    caption = element("figcaption", element("strong", name), f": {about}" if about else None)
    return element("figure", caption, scrolling(drawn, label) if drawn else None)


def _total(numbers: list[float | None]) -> float:
    return sum(number for number in numbers if number and number > 0)


def _shaded(number: float | None, share: float, right: bool) -> Markup:
    if number is None:
        return element("td", MISSING)
    return element(
        "td",
        f"{number:,.0f}",
        element("small", f"{100 * share:.0f} %"),
        class_="right" if right else None,
        style=f"background:rgb(37 99 235 / {0.6 * share:.3f})",
    )
