"""The models of a report: their table, and the searched one's gap to the plain one in words."""

import math
from typing import Any

from tf_efficientbert.reporting import formats
from tf_efficientbert.reporting.formats import MISSING, finite
from tf_efficientbert.reporting.markup import Markup
from tf_efficientbert.reporting.tables import scrolling, table

PLAIN, PUBLISHED, SEARCHED = "plain", "published", "searched"
_SPLITS = ("test_", "dev_")  # of a score's key: test_accuracy


def models_table(models: list[dict]) -> Markup:
    """One row a model: size, scores, gap to the plain model, files and their latency."""
    metrics = _metrics(models)
    plain = find(models, PLAIN)
    precisions = list(dict.fromkeys(key for model in models for key in (model.get("litert") or {})))
    head = ["model", *(m.replace("_", " ") for m in metrics)]
    if plain and metrics and len(models) > 1:
        head.append("gap to plain")
    head += ["parameters", "MACs"]
    for precision in precisions:
        head += [f"{precision} file", f"{precision} latency{_threads(models, precision)}"]
    rows = []
    for model in models:
        row = [
            str(model.get("name") or "model"),
            *(_shown(model, metric) for metric in metrics),
        ]
        if plain and metrics and len(models) > 1:
            value, error = _gap(model, plain, metrics[0])
            row.append(MISSING if model is plain else formats.gap(value, metrics[0], error))
        row += [formats.count(finite(model.get(key))) for key in ("parameters", "macs")]
        for precision in precisions:
            file = (model.get("litert") or {}).get(precision) or {}
            row += [formats.megabytes(finite(file.get("bytes"))), _latency(file)]
        rows.append(row)
    marked = [i for i, model in enumerate(models) if model.get("name") == SEARCHED]
    return scrolling(table(head, rows, marked), "models")


def gap_sentence(models: list[dict]) -> str | None:
    """How the searched model stands to the plain one, whichever way it goes."""
    searched, plain = find(models, SEARCHED), find(models, PLAIN)
    metrics = _metrics(models)
    if not searched or not plain or not metrics:
        return None
    metric = metrics[0]
    value, error = _gap(searched, plain, metric)
    if value is None:
        return None
    unit = " points" if formats.is_share(metric) else ""
    text = f"Searched against plain: {formats.gap(value, metric, error)}{unit} of "
    text += metric.replace("_", " ")
    if error is None:
        return f"{text}; the error of the difference is not known."
    if abs(value) < 2 * error:
        return f"{text}, less than two standard errors: these examples show no clear difference."
    return f"{text}, more than two standard errors: {'better' if value > 0 else 'worse'}."


def headline_score(models: list[dict]) -> tuple[str, str] | None:
    """The searched model's first metric and its score as text, None where it has none."""
    searched, metrics = find(models, SEARCHED), _metrics(models)
    if not searched or not metrics:
        return None
    return metrics[0].replace("_", " "), _shown(searched, metrics[0])


def find(models: list[dict], name: str) -> dict | None:
    """The first model of that name."""
    return next((model for model in models if model.get("name") == name), None)


def _metrics(models: list[dict]) -> list[str]:
    keys = (key for model in models for key in model)
    scores = (k for k in keys if k.startswith(_SPLITS) and not k.endswith(formats.STANDARD_ERROR))
    return list(dict.fromkeys(score.split("_", 1)[1] for score in scores))


def _score(model: dict, metric: str) -> tuple[float | None, float | None]:
    keys = (f"{split}{metric}" for split in _SPLITS)
    key = next((key for key in keys if key in model), "")
    value, error = finite(model.get(key)), finite(model.get(f"{key}{formats.STANDARD_ERROR}"))
    # SQuAD's scores come in per cent.
    if value is not None and formats.is_share(metric) and value > 1:
        return value / 100, None if error is None else error / 100
    return value, error


def _shown(model: dict, metric: str) -> str:
    value, error = _score(model, metric)
    return formats.score(value, metric, error)


def _gap(model: dict, plain: dict, metric: str) -> tuple[float | None, float | None]:
    (value, error), (base, base_error) = _score(model, metric), _score(plain, metric)
    if value is None or base is None:
        return None, None
    if error is None or base_error is None:
        return value - base, None
    return value - base, math.hypot(error, base_error)


def _latencies(file: Any) -> dict[str, float | None]:
    given = file.get("latency_ms") if isinstance(file, dict) else None
    return {str(threads): finite(ms) for threads, ms in (given or {}).items()}


def _threads(models: list[dict], precision: str) -> str:
    """How many threads each latency is of, where all models were timed with the same."""
    timed = {
        tuple(_latencies((model.get("litert") or {}).get(precision) or {})) for model in models
    }
    timed.discard(())
    if len(timed) != 1:
        return ""
    return f" ({'/'.join(timed.pop())} threads)"


def _latency(file: dict) -> str:
    timed = [MISSING if ms is None else f"{ms:.1f}" for ms in _latencies(file).values()]
    return f"{' / '.join(timed)}\N{NO-BREAK SPACE}ms" if timed else MISSING
