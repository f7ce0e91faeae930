"""The tables of a report: stages, candidates, seconds, and plain text tables."""

from collections.abc import Collection, Sequence
from statistics import median

from tf_efficientbert.reporting import formats
from tf_efficientbert.reporting.formats import MISSING, finite
from tf_efficientbert.reporting.markup import Child, Markup, element
from tf_efficientbert.reporting.study import Candidate, ReportedStage


def table(
    head: Sequence[Child], rows: Sequence[Sequence[Child]], marked: Collection[int] = ()
) -> Markup:
    """Returns a table; rows start with their name, `marked` rows are highlighted."""
    return element(
        "table",
        element("thead", element("tr", [element("th", text, scope="col") for text in head])),
        element(
            "tbody",
            [
                element(
                    "tr",
                    element("th", row[0], scope="row"),
                    [element("td", cell) for cell in row[1:]],
                    class_="marked" if number in marked else None,
                )
                for number, row in enumerate(rows)
            ],
        ),
    )


def text_table(rows: list[list[str]]) -> str:
    """Returns a text table with aligned columns and a rule under the first row."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    rule = "  " + "  ".join("-" * width for width in widths)
    return "\n".join([lines[0], rule, *lines[1:]])


def scrolling(content: Markup, label: str) -> Markup:
    """Wraps a wide table in a container that scrolls sideways, also by keyboard."""
    return element("div", content, class_="scroll", role="region", tabindex="0", aria_label=label)


def stages_table(stages: Sequence[ReportedStage]) -> Markup:
    """Returns a row per stage, with the gain over its first candidate and over its median."""
    head = ["stage", "best", "over its first", "over its median", "candidates", "time", "sampler"]
    rows = []
    for stage in stages:
        best = stage.best.score if stage.best else None
        first = stage.candidates[0].score if stage.candidates else None
        middle = median(c.score for c in stage.scored) if stage.scored else None
        rows.append(
            [
                stage.name,
                formats.score(best, stage.metric, stage.error(best)),
                formats.gap(_difference(best, first), stage.metric),
                formats.gap(_difference(best, middle), stage.metric),
                progress(stage),
                formats.duration(stage.seconds),
                _sampling(stage),
            ]
        )
    return scrolling(table(head, rows), "stages")


def progress(stage: ReportedStage) -> str:
    """Formats the progress of a stage: `12 of 12, 1 failed, 2 reused`."""
    done = sum(c.state in ("complete", "failed") for c in stage.candidates)
    parts = [f"{done} of {stage.planned}" if stage.planned else f"{done}"]
    counts = {
        "failed": sum(c.failed for c in stage.candidates),
        "reused": sum(c.reused for c in stage.candidates),
    }
    return ", ".join(parts + [f"{number} {state}" for state, number in counts.items() if number])


def candidates_details(stage: ReportedStage) -> Markup:
    """Returns all candidates of a stage in a collapsed table."""
    head = ["candidate", "score", "parameters as searched", "state", "time", "formulas by layer"]
    rows = [_candidate_row(candidate, stage) for candidate in stage.candidates]
    marked = [i for i, c in enumerate(stage.candidates) if c is stage.best]
    summary = f"{stage.name}: {formats.plural(len(rows), 'candidate')}"
    if stage.best:
        best = formats.score(stage.best.score, stage.metric)
        summary += f", best: number {stage.best.index} with {best}"
    content = (
        scrolling(table(head, rows, marked), f"candidates of {stage.name}")
        if rows
        else element("p", "No candidate yet.", class_="missing")
    )
    return element("details", element("summary", summary), content)


def seconds_bars(seconds: dict) -> Markup | None:
    """Returns seconds by phase as bars, in chronological order, or None without any."""
    known = [(str(name), finite(value)) for name, value in seconds.items()]
    known = [(name, value) for name, value in known if value is not None and value >= 0]
    if not known:
        return None
    longest = max(value for _, value in known) or 1
    rows = [
        element(
            "tr",
            element("th", name, scope="row"),
            element("td", element("div", style=f"width:{100 * value / longest:.1f}%")),
            element("td", formats.duration(value)),
        )
        for name, value in known
    ]
    total = element(
        "tr",
        element("th", "total", scope="row"),
        element("td"),
        element("td", formats.duration(sum(value for _, value in known))),
        class_="total",
    )
    return element("table", element("tbody", rows, total if len(rows) > 1 else None), class_="bars")


def formula_list(formulas: Sequence[str]) -> Markup:
    """Returns the layers' formulas as a list, numbered from 1."""
    return element("ol", [element("li", element("code", text)) for text in formulas])


def _candidate_row(candidate: Candidate, stage: ReportedStage) -> list[Child]:
    state: list[Child] = [element("span", candidate.state, class_=_state_class(candidate))]
    if candidate.reused:
        state.append(" (score of an earlier stage)")
    if candidate.reason:
        state.append(element("small", candidate.reason))
    return [
        str(candidate.index),
        formats.score(candidate.score, stage.metric),
        formats.count(candidate.parameters),
        state,
        formats.duration(candidate.seconds),
        formula_list(candidate.formulas) if candidate.formulas else MISSING,
    ]


def _state_class(candidate: Candidate) -> str | None:
    return "failed" if candidate.failed else None


def _sampling(stage: ReportedStage) -> str:
    text = stage.sampler or MISSING
    if stage.fits:
        text += f", fitted {'once' if len(stage.fits) == 1 else f'{len(stage.fits)} times'}"
    depths = [fit.depth for fit in stage.fits if fit.depth is not None]
    if depths:
        low, high = min(depths), max(depths)
        text += f", depth {low}" + (f" to {high}" if high > low else "")
    return text


def _difference(value: float | None, base: float | None) -> float | None:
    return None if value is None or base is None else value - base
