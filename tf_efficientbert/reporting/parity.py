"""Tables that compare exported forms with the Keras model."""

from tf_efficientbert.reporting import formats
from tf_efficientbert.reporting.formats import finite
from tf_efficientbert.reporting.markup import Child, Markup, element
from tf_efficientbert.reporting.tables import scrolling, table


def parity_table(parity: dict) -> Markup:
    """Returns a table with a row per model and a column per exported form, see `parity_rows`."""
    head, *rows = _rows(parity)

    def cell(parts: list[str]) -> list[Child]:
        return [parts[0], element("small", ", ".join(parts[1:]))] if parts else []

    rows = [[name, *map(cell, cells)] for name, *cells in rows]
    return scrolling(table(head, rows), "exported forms")


def parity_rows(parity: dict) -> list[list[str]]:
    """Returns the table as rows of text, the head first.

    A cell is score, agreement and largest difference: `88.8 %, 99.3 % alike, 2e-01`.

    Args:
        parity: {model: {form: {"max_difference", "agreement" (of a classification), a metric with
            its standard error}}}, as `export` writes it.
    """
    head, *rows = _rows(parity)
    return [head, *([name, *map(", ".join, cells)] for name, *cells in rows)]


def form_rows(forms: dict, litert: dict) -> list[list[str]]:
    """Returns a head and a row per form of one model: score, agreement, differences, size, latency.

    Args:
        forms: {form: figures}, one model's part of `parity_rows`' argument.
        litert: {precision: {"bytes", "latency_ms": {threads: median}}} of the LiteRT files.
    """
    metric = next(filter(formats.is_share, forms.get("keras", {})), "")
    head = ["form", formats.metric_name(metric), "agreement", "largest difference"]
    rows = [[*head, "mean difference", "file", "1 thread", "2 threads"]]
    for form, figures in forms.items():
        file = litert.get(form.removeprefix("litert_"), {})
        latency = file.get("latency_ms", {})
        numbers = (finite(figures.get(name)) for name in ("max_difference", "mean_difference"))
        milliseconds = (finite(latency.get(threads)) for threads in ("1", "2"))
        error = finite(figures.get(f"{metric}{formats.STANDARD_ERROR}"))
        rows.append(
            [
                form.replace("_", " "),
                formats.score(finite(figures.get(metric)), metric, error),
                formats.score(finite(figures.get("agreement")), "accuracy"),
                *(formats.MISSING if n is None else f"{n:.1e}" for n in numbers),
                formats.megabytes(finite(file.get("bytes"))),
                *(formats.MISSING if ms is None else f"{ms:.2f} ms" for ms in milliseconds),
            ]
        )
    return rows


def _rows(parity: dict) -> list[list]:
    """Returns the head, then a row per model: its name and the parts of each form's cell."""
    forms = list(dict.fromkeys(f for figures in parity.values() for f in figures if f != "keras"))
    rows = [
        [name, *(_known(figures.get(form) or {}) for form in forms)]
        for name, figures in parity.items()
    ]
    return [["model", *(form.replace("_", " ") for form in forms)], *rows]


def _known(figures: dict) -> list[str]:
    metric = next((name for name in figures if formats.is_share(name)), None)
    parts = [formats.score(finite(figures[metric]), metric)] if metric else []
    if (agreement := finite(figures.get("agreement"))) is not None:
        parts.append(f"{formats.score(agreement, 'accuracy')} alike")
    if (difference := finite(figures.get("max_difference"))) is not None:
        parts.append(f"{difference:.0e}")
    return parts
