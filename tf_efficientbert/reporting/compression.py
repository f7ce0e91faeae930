"""The table of scores and sizes after each compression step."""

from tf_efficientbert.reporting import formats
from tf_efficientbert.reporting.formats import finite
from tf_efficientbert.reporting.markup import Markup
from tf_efficientbert.reporting.tables import scrolling, table

_SCORE = "dev_"
_COUNTS = ("parameters", "nonzero_parameters", "macs")
_SIZES = {"zipped float32": "zipped_bytes", "LiteRT int8": "int8_bytes"}


def compression_rows(steps: list[dict]) -> list[list[str]]:
    """Returns a head and a row per step: score, its change, sizes, time.

    Args:
        steps: see `compression.compress`; the first is the uncompressed model.
    """
    keys = [key for step in steps for key in step if key.startswith(_SCORE)]
    metric = next((key for key in keys if not key.endswith(formats.STANDARD_ERROR)), _SCORE)
    name = metric.removeprefix(_SCORE)
    head = ["step", f"dev {formats.metric_name(name)}", "change", "parameters", "not zero", "MACs"]
    rows = [[*head, *_SIZES, "time"]]
    before = None
    for step in steps:
        value, error = (
            finite(step.get(metric)),
            finite(step.get(f"{metric}{formats.STANDARD_ERROR}")),
        )
        change = None if value is None or before is None else value - before
        rows.append(
            [
                str(step.get("step")),
                formats.score(value, name, error),
                formats.gap(change, name),
                *(formats.count(finite(step.get(key))) for key in _COUNTS),
                *(formats.megabytes(finite(step.get(key))) for key in _SIZES.values()),
                formats.duration(finite(step.get("seconds"))),
            ]
        )
        before = value
    return rows


def compression_table(steps: list[dict]) -> Markup | None:
    """Returns `compression_rows` as HTML, or None without steps."""
    if not steps:
        return None
    head, *rows = compression_rows(steps)
    return scrolling(table(head, rows), "compression")
