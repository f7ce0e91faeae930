"""The charts of a report: scores of candidates, and losses of trainings.

Each function returns a figure of the page, or None if there is nothing to draw yet.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tf_efficientbert.reporting import formats
from tf_efficientbert.reporting.drawing import (
    COLOURS,
    DARK,
    FAILED,
    FAINT,
    MARKERS,
    SYMBOLS,
    figure,
    svg,
)
from tf_efficientbert.reporting.formats import finite
from tf_efficientbert.reporting.markup import Markup
from tf_efficientbert.reporting.study import ReportedStage, best_scored

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = 160  # per curve; a chart's pixels cannot show more
_CANDIDATE_POINTS = 40
_DEV = "dev_"
_TICK_STEPS = (1, 2, 5, 10)


def score_against_parameters(stages: Sequence[ReportedStage]) -> Markup | None:
    """Plots candidates by size and score, in one colour per stage; failed ones at the bottom."""
    drawn = [
        (position, [c for c in stage.scored if c.parameters is not None])
        for position, stage in enumerate(stages)
    ]
    drawn = [(position, group) for position, group in drawn if group]
    failed = [
        c.parameters for s in stages for c in s.candidates if c.failed and c.parameters is not None
    ]
    if not drawn:
        return None
    metrics = {stages[position].metric for position, _ in drawn}
    metric = metrics.pop() if len(metrics) == 1 else ""
    result = best_scored(stages)

    def draw(panels: list["Axes"]) -> None:
        (axes,) = panels
        for position, group in drawn:
            x = [c.parameters / 1e6 for c in group]
            y = [_shown(c.score, metric) for c in group]
            axes.plot(x, y, alpha=0.75, **_points(position))
        if result and result[1].parameters is not None and result[1].score is not None:
            best = (result[1].parameters / 1e6, _shown(result[1].score, metric))
            axes.plot(*best, "o", ms=13, mfc="none", mec=DARK, mew=1.6)
        _room(axes, "y")
        _room(axes, "x", [x / 1e6 for x in failed])
        if failed:
            x = [value / 1e6 for value in failed]
            transform = axes.get_xaxis_transform()
            axes.plot(x, [0.03] * len(x), "x", color=FAILED, ms=7, mew=1.8, transform=transform)
        axes.set(xlabel="parameters as searched, M", ylabel=_axis(metric))

    legend = [(*_mark(position), stages[position].name) for position, _ in drawn]
    if result and result[1].parameters is not None and result[1].score is not None:
        legend.append(("◯", DARK, "best of the last stage"))
    if failed:
        legend.append(("✕", FAILED, "failed, without a score"))
    total = sum(len(group) for _, group in drawn)
    label = f"Score against parameters of {formats.plural(total, 'candidate')}"
    title = "Score against parameters"
    note = formats.metric_name(metric) or None
    return figure(title, svg("parameters", label, draw), note, legend)


def best_so_far(stage: ReportedStage, position: int) -> Markup | None:
    """Plots one stage's scores in their order, and the best score so far."""
    if not stage.scored:
        return None
    x = [c.index for c in stage.scored]
    y = [_shown(c.score, stage.metric) for c in stage.scored]
    ordered = sorted(zip(x, y, strict=True))
    best = [max(y for _, y in ordered[: count + 1]) for count in range(len(ordered))]
    last = max((c.index for c in stage.candidates), default=0)
    failed = [c.index for c in stage.candidates if c.failed]
    error = stage.error(best[-1] / 100 if formats.is_share(stage.metric) else best[-1])
    error = error and _shown(error, stage.metric)

    def draw(panels: list["Axes"]) -> None:
        (axes,) = panels
        steps = [*(x for x, _ in ordered), max(last, ordered[-1][0])]
        if error:
            axes.axhspan(best[-1] - error, best[-1] + error, color=FAINT, alpha=0.25, lw=0)
        axes.plot(x, y, **_points(position) | {"alpha": 0.45})
        axes.plot(steps, [*best, best[-1]], drawstyle="steps-post", **_line(position))
        _room(axes, "y")
        if failed:
            transform = axes.get_xaxis_transform()
            axes.plot(
                failed, [0.03] * len(failed), "x", color=FAILED, ms=7, mew=1.8, transform=transform
            )
        if stage.fits:
            axes.axvline(stage.fits[0].index - 0.5, color=DARK, lw=1.2, ls=(0, (4, 3)))
        margin = max(0.7, 0.03 * last)
        axes.set(xlabel="candidate", ylabel=_axis(stage.metric), xlim=(-margin, last + margin))
        _whole_ticks(axes)

    colour = COLOURS[position % len(COLOURS)]
    legend = [("━", colour, "best so far"), (*_mark(position), "candidate")]
    if error:
        legend.append(("▒", FAINT, "± one standard error of the best"))
    if failed:
        legend.append(("✕", FAILED, "failed"))
    if stage.fits:
        learned_from = formats.plural(stage.fits[0].candidates, "candidate")
        legend.append(("┆", DARK, f"first use of the action space, fitted to {learned_from}"))
    top = formats.score(stage.best.score if stage.best else None, stage.metric)
    label = f"{stage.name}: best score so far by candidate, finally {top}"
    return figure(f"Best so far: {stage.name}", svg(f"best-{position}", label, draw), None, legend)


def candidate_losses(stage: ReportedStage, position: int) -> Markup | None:
    """Plots the loss of every candidate's own training; the best candidate's line is thick."""
    curves = [(c, [value for value in c.losses if value is not None]) for c in stage.candidates]
    curves = [(c, values) for c, values in curves if len(values) > 1]
    if not curves:
        return None
    best = stage.best

    def draw(panels: list["Axes"]) -> None:
        (axes,) = panels
        for candidate, values in sorted(curves, key=lambda pair: pair[0] is best):
            x, y = _thinned([*enumerate(values, start=1)], _CANDIDATE_POINTS)
            kind = {"color": FAILED if candidate.failed else FAINT, "lw": 0.8, "alpha": 0.7}
            axes.plot(x, y, **(_line(position) if candidate is best else kind))
        axes.set(xlabel="recorded step", ylabel="loss")
        _loss_axis(axes, [value for _, values in curves for value in values])

    legend = [("━", FAINT, "candidate")]
    if any(c is best for c, _ in curves):
        legend.append(("━", COLOURS[position % len(COLOURS)], "best candidate"))
    if any(c.failed for c, _ in curves):
        legend.append(("━", FAILED, "failed"))
    label = f"{stage.name}: loss of {formats.plural(len(curves), 'candidate')} during training"
    picture = svg(f"losses-{position}", label, draw)
    title = f"Training of candidates: {stage.name}"
    return figure(title, picture, "first on raw text, if any, then on the task", legend)


def training(name: str, records: Sequence[Any], key: str) -> Markup | None:
    """Plots one training's loss by step and, below it, its scores on the dev split, if any."""
    rows = [record for record in records if isinstance(record, dict)]
    points = _series(rows, "loss")
    metric = next((k for row in rows for k in row if str(k).startswith(_DEV)), "")
    scores = _series(rows, metric) if metric else []
    dev = metric.removeprefix(_DEV)
    if not points:
        return None

    def draw(panels: list["Axes"]) -> None:
        panels[0].plot(*_thinned(points, _POINTS), color=COLOURS[0], lw=1.6, **_dot(points))
        panels[0].set(ylabel="loss")
        _loss_axis(panels[0], [value for _, value in points])
        if scores:
            x, y = _thinned(scores, _CANDIDATE_POINTS)
            y = [_shown(value, dev) for value in y]
            panels[1].plot(x, y, "o-", color=COLOURS[1], ms=4.5, lw=1.4)
            panels[1].set(ylabel="dev, %" if formats.is_share(dev) else "dev")
            _room(panels[1], "y")
        panels[-1].set(xlabel="step")
        _whole_ticks(panels[-1])

    ends = f"{points[0][1]:.3g} → {points[-1][1]:.3g}"
    note = f"{formats.plural(len(points), 'record')}, loss {ends}"
    if scores:
        note += f", dev {formats.metric_name(dev)} {formats.score(scores[-1][1], dev)}"
    picture = svg(key, f"{name}: loss {ends}", draw, panels=2 if scores else 1)
    return figure(name, picture, note)


def _series(rows: list[dict], key: str) -> list[tuple[float, float]]:
    """Returns (step, value) of the records that have both, sorted by step."""
    found = ((finite(row.get("step")), finite(row.get(key))) for row in rows)
    return sorted((x, y) for x, y in found if x is not None and y is not None)


def _thinned(points: list[tuple[float, float]], most: int) -> tuple[list[float], list[float]]:
    """Reduces points to at most `most`, the means of neighbours; returns their x and y."""
    size = max(1, -(-len(points) // most))
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    means = [[sum(axis) / len(group) for axis in zip(*group, strict=True)] for group in groups]
    return [x for x, _ in means], [y for _, y in means]


def _shown(value: float, metric: str) -> float:
    return 100 * value if formats.is_share(metric) else value


def _axis(metric: str) -> str:
    # The metric's name comes from the report, so it is shown in HTML, where it is escaped.
    return "score, %" if formats.is_share(metric) else "score"


def _mark(position: int) -> tuple[str, str]:
    return SYMBOLS[position % len(SYMBOLS)], COLOURS[position % len(COLOURS)]


def _points(position: int) -> dict[str, Any]:
    colour, marker = COLOURS[position % len(COLOURS)], MARKERS[position % len(MARKERS)]
    return {"color": colour, "marker": marker, "ms": 6, "ls": "", "mec": "white", "mew": 0.6}


def _line(position: int) -> dict[str, Any]:
    return {"color": COLOURS[position % len(COLOURS)], "lw": 2.2}


def _dot(points: list) -> dict[str, Any]:
    """Returns a marker for a single point, which a line alone would not show."""
    return {"marker": "o"} if len(points) == 1 else {}


def _room(axes: "Axes", which: str, also: Sequence[float] = ()) -> None:
    """Adds space around the points, and widens the range if all values are (almost) equal."""
    low, high = getattr(axes.dataLim, f"interval{which}")
    low, high = min([low, *also]), max([high, *also])
    spread = max(high - low, 0.02 * max(abs(low), abs(high)), 1e-6)
    low, high = (low + high - spread) / 2, (low + high + spread) / 2
    getattr(axes, f"set_{which}lim")(low - 0.12 * spread, high + 0.1 * spread)
    _plain_ticks(getattr(axes, f"{which}axis"))


def _plain_ticks(axis) -> None:
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    axis.set_major_locator(MaxNLocator(5, steps=_TICK_STEPS))
    formatter = ScalarFormatter(useOffset=False)
    formatter.set_powerlimits((-4, 6))
    axis.set_major_formatter(formatter)


def _whole_ticks(axes: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=_TICK_STEPS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _step(value, axes)))


def _step(value: float, axes: "Axes") -> str:
    thousands = value and axes.get_xlim()[1] >= 10_000
    return f"{value / 1000:g}k" if thousands else f"{value:g}"


def _loss_axis(axes: "Axes", values: list[float]) -> None:
    """Uses a log scale if losses span more than a factor of 30."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    _plain_ticks(axes.yaxis)
    if min(values) > 0 and max(values) / min(values) > 30:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=_TICK_STEPS[:-1], numticks=6))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
