"""How the exported forms of the models answer, beside the Keras model."""

from tf_efficientbert.reporting import formats
from tf_efficientbert.reporting.formats import finite


def parity_rows(parity: dict) -> list[list[str]]:
    """Rows of a table, its head first: a row a model, a column an exported form.

    Args:
        parity: {model: {form: {"max_difference", "agreement" (of a classification), a metric with
            its standard error}}}, as the export writes it.
    """
    forms = list(dict.fromkeys(f for figures in parity.values() for f in figures if f != "keras"))
    rows = [
        [name, *(_shown(figures[form]) if form in figures else "" for form in forms)]
        for name, figures in parity.items()
    ]
    return [["model", *(form.replace("_", " ") for form in forms)], *rows]


def _shown(figures: dict) -> str:
    """`88.8 %, 99.3 % alike, 2e-01`."""
    metric = next((name for name in figures if formats.is_share(name)), None)
    parts = [formats.score(finite(figures[metric]), metric)] if metric else []
    if (agreement := finite(figures.get("agreement"))) is not None:
        parts.append(f"{formats.score(agreement, 'accuracy')} alike")
    if (difference := finite(figures.get("max_difference"))) is not None:
        parts.append(f"{difference:.0e}")
    return ", ".join(parts)
