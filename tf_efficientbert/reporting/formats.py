"""Formats numbers for readers: percent, points, millions, minutes."""

from typing import Any

MISSING = "–"
_SPACE = "\N{NO-BREAK SPACE}"  # between a number and its unit
_ERROR = f"{_SPACE}±{_SPACE}"
# Scores between 0 (or -1) and 1, which are shown in percent.
_SHARES = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "matthews",
    "pearson",
    "spearman",
    "exact_match",
)
STANDARD_ERROR = "_standard_error"  # ends the key of a score's standard error
_LARGEST = 1e100  # averages and scaling of larger numbers could overflow


def finite(value: Any) -> float | None:
    """Returns a float, or None if the value is not a number, not finite or above 1e100."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) <= _LARGEST else None  # NaN also gives None


def is_share(metric: str) -> bool:
    """Returns whether a metric is shown in percent, such as accuracy, but not a loss."""
    return any(share in metric.lower() for share in _SHARES) and "loss" not in metric.lower()


def metric_name(metric: str) -> str:
    """Formats a metric's name: `macro F1`, `exact match`."""
    return metric.replace("_", " ").replace("f1", "F1")


def score(value: float | None, metric: str, error: float | None = None) -> str:
    """Formats a score with its standard error, if known: `81.2 ± 1.7 %`, or `0.4312`."""
    if value is None:
        return MISSING
    scale, digits, unit = (100, 1, f"{_SPACE}%") if is_share(metric) else (1, 4, "")
    shown = _signed(f"{scale * value:.{digits}f}")
    if error is not None:
        shown += f"{_ERROR}{scale * error:.{digits}f}"
    return shown + unit


def gap(value: float | None, metric: str, error: float | None = None) -> str:
    """Formats a signed difference of two scores with its error, if known: `+1.3 ± 2.1`."""
    if value is None:
        return MISSING
    scale, digits = (100, 1) if is_share(metric) else (1, 4)
    shown = f"{scale * value:+.{digits}f}"
    shown = _signed(shown if float(shown) else shown[1:])  # 0 has no sign
    return shown + (f"{_ERROR}{scale * error:.{digits}f}" if error is not None else "")


def p_value(value: float) -> str:
    """Formats a p-value: `p = 0.18`, `p < 0.001`."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"


def count(value: float | None) -> str:
    """Formats a large number with its unit: `512`, `48.2 k`, `15.74 M`, `1.53 G`."""
    if value is None:
        return MISSING
    for size, least, digits, unit in ((1e9, 1, 2, "G"), (1e6, 1, 2, "M"), (1e3, 10, 1, "k")):
        number = value / size
        if abs(number) >= least:
            return f"{number:.{0 if abs(number) >= 100 else digits}f}{_SPACE}{unit}"
    return f"{value:.0f}"


def megabytes(value: float | None) -> str:
    """Formats bytes in MB (10^6): `21.4 MB`."""
    return MISSING if value is None else f"{value / 1e6:.1f}{_SPACE}MB"


def duration(seconds: float | None) -> str:
    """Formats a time in its two largest units: `4.2 s`, `3 min 20 s`, `2 h 05 min`, `3 d 4 h`."""
    if seconds is None:
        return MISSING
    if seconds < 59.95:
        return f"{seconds:.{1 if seconds < 9.95 else 0}f}{_SPACE}s"
    whole = round(seconds)
    if whole < 3600:
        return _joined(f"{whole // 60} min {whole % 60:02} s")
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return _joined(f"{minutes // 60} h {minutes % 60:02} min")
    hours = round(seconds / 3600)
    return _joined(f"{hours // 24} d {hours % 24} h")


def plural(number: int, noun: str) -> str:
    """Formats a count with its noun: `1 candidate`, `12 candidates`."""
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"


def _signed(shown: str) -> str:
    return shown.replace("-", "−")


def _joined(shown: str) -> str:
    return shown.replace(" ", _SPACE)
