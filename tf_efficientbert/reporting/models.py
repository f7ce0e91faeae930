"""The table of models, and a sentence on the gap between the searched and the plain model."""

import math
from dataclasses import dataclass
from typing import Any

from tf_efficientbert.reporting import formats
from tf_efficientbert.reporting.formats import MISSING, finite
from tf_efficientbert.reporting.markup import Child, Markup, element
from tf_efficientbert.reporting.tables import scrolling, table

PLAIN, PUBLISHED, SEARCHED = "plain", "published", "searched"
_CLEAR = 0.05  # p-values below it are a clear difference
_SPLITS = ("test_", "dev_")  # prefixes of a score's key: test_accuracy


@dataclass(frozen=True)
class _Gap:
    """The difference of two models' scores.

    Attributes:
        metric: the compared metric.
        value: the difference.
        error: its standard error, None if unknown.
        p_value: that of a paired comparison, else None.
    """

    metric: str
    value: float
    error: float | None
    p_value: float | None = None

    @property
    def no_difference(self) -> bool:
        """Whether the difference and its error are both zero."""
        return self.value == 0 and self.error == 0

    @property
    def how(self) -> str:
        """The kind of comparison, in words."""
        return "unpaired" if self.p_value is None else f"paired, {formats.p_value(self.p_value)}"


def models_table(models: list[dict], paired: dict) -> Markup:
    """Returns a table with a row per model: scores, gap to the plain model, size, files, latency.

    Args:
        models: the report's models.
        paired: model -> `paired_difference` to the plain model; models may be missing.
    """
    metrics = _metrics(models)
    plain = find(models, PLAIN)
    precisions = list(dict.fromkeys(key for model in models for key in (model.get("litert") or {})))
    head = ["model", *map(formats.metric_name, metrics)]
    has_gaps = bool(plain and metrics and len(models) > 1)
    if has_gaps:
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
        if has_gaps:
            gap = None if model is plain else _gap(model, plain, metrics[0], paired)
            row.append(_gap_cell(gap) if gap else MISSING)
        row += [formats.count(finite(model.get(key))) for key in ("parameters", "macs")]
        for precision in precisions:
            file = (model.get("litert") or {}).get(precision) or {}
            row += [formats.megabytes(finite(file.get("bytes"))), _latency(file)]
        rows.append(row)
    marked = [i for i, model in enumerate(models) if model.get("name") == SEARCHED]
    return scrolling(table(head, rows, marked), "models")


def gap_sentence(models: list[dict], paired: dict) -> str | None:
    """Returns a sentence that compares the searched model with the plain one, or None.

    Args:
        models, paired: see `models_table`.
    """
    searched, plain = find(models, SEARCHED), find(models, PLAIN)
    metrics = _metrics(models)
    if not searched or not plain or not metrics:
        return None
    gap = _gap(searched, plain, metrics[0], paired)
    if gap is None:
        return None
    metric = formats.metric_name(gap.metric)
    if gap.no_difference:
        return f"Searched against plain: no difference in {metric} ({gap.how})."
    unit = " points" if formats.is_share(gap.metric) else ""
    shown = formats.gap(gap.value, gap.metric, gap.error)
    text = f"Searched against plain: {shown}{unit} of {metric}"
    if gap.error is None:
        return f"{text}; the error of the difference is unknown."
    verdict = "better" if gap.value > 0 else "worse"
    unclear = "these examples show no clear difference"
    if gap.p_value is not None:
        return f"{text} ({gap.how}): {verdict if gap.p_value < _CLEAR else unclear}."
    if abs(gap.value) < 2 * gap.error:
        return f"{text} ({gap.how}), less than two standard errors: {unclear}."
    return f"{text} ({gap.how}), more than two standard errors: {verdict}."


def headline_score(models: list[dict]) -> tuple[str, str] | None:
    """Returns the searched model's first metric and its formatted score, or None."""
    searched, metrics = find(models, SEARCHED), _metrics(models)
    if not searched or not metrics:
        return None
    return formats.metric_name(metrics[0]), _shown(searched, metrics[0])


def find(models: list[dict], name: str) -> dict | None:
    """Returns the first model of that name, or None."""
    return next((model for model in models if model.get("name") == name), None)


def _metrics(models: list[dict]) -> list[str]:
    keys = (key for model in models for key in model)
    scores = (k for k in keys if k.startswith(_SPLITS) and not k.endswith(formats.STANDARD_ERROR))
    return list(dict.fromkeys(score.split("_", 1)[1] for score in scores))


def _score(model: dict, metric: str) -> tuple[float | None, float | None]:
    keys = (f"{split}{metric}" for split in _SPLITS)
    key = next((key for key in keys if key in model), "")
    value, error = finite(model.get(key)), finite(model.get(f"{key}{formats.STANDARD_ERROR}"))
    # SQuAD scores are in percent.
    if value is not None and formats.is_share(metric) and value > 1:
        return value / 100, None if error is None else error / 100
    return value, error


def _shown(model: dict, metric: str) -> str:
    value, error = _score(model, metric)
    return formats.score(value, metric, error)


def _gap(model: dict, plain: dict, metric: str, paired: dict) -> _Gap | None:
    """Returns a model's gap to the plain one: the paired one if the report has it."""
    compared = paired.get(model.get("name")) or {}
    known = [finite(compared.get(key)) for key in ("difference", "standard_error", "p_value")]
    if compared.get("metric") == metric and None not in known:
        return _Gap(metric, *known)
    (value, error), (base, base_error) = _score(model, metric), _score(plain, metric)
    if value is None or base is None:
        return None
    both = error is not None and base_error is not None
    return _Gap(metric, value - base, math.hypot(error, base_error) if both else None)


def _gap_cell(gap: _Gap) -> Child:
    if gap.no_difference:
        return ["none", element("small", gap.how)]
    shown = formats.gap(gap.value, gap.metric, gap.error)
    return shown if gap.error is None else [shown, element("small", gap.how)]


def _latencies(file: Any) -> dict[str, float | None]:
    given = file.get("latency_ms") if isinstance(file, dict) else None
    return {str(threads): finite(ms) for threads, ms in (given or {}).items()}


def _threads(models: list[dict], precision: str) -> str:
    """Returns the numbers of threads of the latencies, if all models have the same."""
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
