"""A report as one self-contained HTML page: no network, no fonts, no scripts."""

from collections.abc import Sequence
from pathlib import Path

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.reporting import charts, formats, tables
from tf_efficientbert.reporting.architectures import cells_section
from tf_efficientbert.reporting.classes import classes_table, confusion
from tf_efficientbert.reporting.compression import compression_table
from tf_efficientbert.reporting.data_card import data_section
from tf_efficientbert.reporting.formats import MISSING
from tf_efficientbert.reporting.markup import Markup, element
from tf_efficientbert.reporting.models import (
    PLAIN,
    PUBLISHED,
    SEARCHED,
    find,
    gap_sentence,
    headline_score,
    models_table,
)
from tf_efficientbert.reporting.parity import parity_table
from tf_efficientbert.reporting.study import (
    ReportedStage,
    best_scored,
    read_architecture,
    reported_stages,
)

_STYLE = Path(__file__).parent / "assets/page.css"
_ERRORS = (
    "± is one standard error. For an unpaired gap it is √(e₁² + e₂²), which assumes that the two "
    "models were scored on different examples; on the same examples it is usually smaller."
)
_PAIRED = (
    "A paired gap compares predictions on the same examples: accuracies by McNemar's exact test, "
    "other scores by a bootstrap of 1,000 resamples. p is the probability of a gap at least this "
    "large if the models are equally good."
)
_MEANINGS = {
    PLAIN: "Plain has BERT's standard cell, with the stacks and inner widths of published.",
    PUBLISHED: "Published has the paper's six cells.",
    SEARCHED: "Searched has the cells that the search found.",
}
_PARITY = (
    "Each exported form on the same examples: its score, its agreement with the Keras model (share "
    "of equal predictions), and the largest difference of any output."
)
_COUNTED = (
    "Parameters of candidates are counted as in the search: with the projection to the teacher's "
    "width, which only training needs, and without the task's head. Parameters of models are "
    "counted as deployed."
)
_STAGES = 3  # Dong et al. 2021, section 3.4
_COMPARABLE = (
    "Scores are comparable only within a stage, because each stage trains its candidates "
    "differently. The best of many noisy scores is biased upwards: compare models by their scores "
    "in the table of models."
)


def page(report: dict) -> str:
    """Returns the report as HTML; the same report gives the same text.

    Args:
        report: the report of a run. Every part may be missing: the page notes missing models and
            searches, and leaves out other missing parts.
    """
    stages = reported_stages(report)
    models = [model for model in (report.get("models") or ()) if isinstance(model, dict)]
    paired = report.get("paired") or {}
    chosen = _chosen(models, stages)
    title = str(report.get("title") or report.get("task") or "report")
    sections = [
        ("Models", "models", _models(models, paired)),
        ("Data", "data", data_section(report.get("data") or {})),
        ("Exported forms", "parity", _parity(report.get("parity") or {})),
        ("Compression", "compression", compression_table(report.get("compression") or [])),
        ("Gain of each stage", "stages", _stages(stages)),
        ("Candidates", "candidates", _candidate_charts(stages)),
        (
            "Chosen architecture" if find(models, SEARCHED) else "Best architecture so far",
            "architecture",
            cells_section(chosen, models),
        ),
        ("Classes", "classes", _classes(report)),
        ("Confusion", "confusion", _confusion(report)),
        ("Trainings", "trainings", _trainings(report.get("losses") or {}, stages)),
        ("All candidates", "all", _all_candidates(stages)),
        ("Time", "time", tables.seconds_bars(report.get("seconds") or {})),
    ]
    sections = [(name, anchor, content) for name, anchor, content in sections if content]
    links = [element("li", element("a", name, href=f"#{anchor}")) for name, anchor, _ in sections]
    body = element(
        "body",
        element("header", _headline(report, title, models, stages, chosen)),
        element("nav", element("ul", links), aria_label="Sections"),
        element(
            "main",
            [
                element("section", element("h2", name), content, id=anchor)
                for name, anchor, content in sections
            ],
        ),
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{title}: report"),
        element("style", Markup(_STYLE.read_text(encoding="utf-8"))),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _headline(
    report: dict,
    title: str,
    models: list[dict],
    stages: Sequence[ReportedStage],
    chosen: Architecture | None,
) -> list[Markup | None]:
    about = [f"task {report['task']}"] if report.get("task") else []
    if report.get("split"):
        about.append(f"scored on the {report['split']} split")
    if (examples := formats.finite(report.get("examples"))) is not None:
        about.append(formats.plural(round(examples), "example"))
    searched = [f"{stage.name} ({tables.progress(stage)})" for stage in stages]
    begun = f"Searched in {formats.plural(len(stages), 'stage')}"
    if not _finished(stages):
        begun = "Search not finished, so far"
    lead = f"{begun}: {', '.join(searched)}."
    verdict = gap_sentence(models, report.get("paired") or {})
    tiles = _tiles(models, stages, chosen)
    return [
        element("h1", title),
        element("p", ", ".join(about), class_="about") if about else None,
        element("p", lead if stages else "No search has been run yet.", class_="lead"),
        element("p", verdict, class_="lead") if verdict else None,
        element("dl", tiles, class_="tiles") if tiles else None,
        _formulas(chosen) if chosen else None,
    ]


def _finished(stages: Sequence[ReportedStage]) -> bool:
    return len(stages) >= _STAGES and all(stage.ended for stage in stages)


def _formulas(chosen: Architecture) -> Markup:
    title = f"Best architecture: {formats.plural(chosen.num_layers, 'layer')}, one formula each"
    formulas = tables.scrolling(tables.formula_list(chosen.formulas), "formulas")
    return element("details", element("summary", title), formulas)


def _tiles(
    models: list[dict], stages: Sequence[ReportedStage], chosen: Architecture | None
) -> list[Markup]:
    tiles = []
    if score := headline_score(models):
        tiles.append((f"{score[0][:1].upper()}{score[0][1:]}, searched", score[1]))
    if result := best_scored(stages):
        stage, best = result
        shown = formats.score(best.score, stage.metric, stage.error(best.score))
        tiles.append((f"Best of {stage.name}, held-out", shown))
    searched = find(models, SEARCHED) or {}
    deployed = formats.finite(searched.get("parameters"))
    if deployed is not None:
        tiles.append(("Parameters, deployed", formats.count(deployed)))
    elif result and result[1].parameters is not None:
        tiles.append(("Parameters, as searched", formats.count(result[1].parameters)))
    if chosen:
        tiles.append(("Layers × width", f"{chosen.num_layers} × {chosen.hidden_size}"))
    if stages:
        numbers = [len(stage.candidates) for stage in stages]
        tiles.append(("Candidates", " + ".join(map(str, numbers))))
        times = [stage.seconds for stage in stages if stage.seconds is not None]
        spent = formats.duration(sum(times)) if times else MISSING
        tiles.append(("Time on candidates", spent))
    return [element("div", element("dt", name), element("dd", value)) for name, value in tiles]


def _chosen(models: list[dict], stages: Sequence[ReportedStage]) -> Architecture | None:
    searched = read_architecture((find(models, SEARCHED) or {}).get("architecture"))
    result = best_scored(stages)
    return searched or (read_architecture(result[1].described) if result else None)


def _models(models: list[dict], paired: dict) -> list[Markup]:
    if not models:
        return [element("p", "No model has been scored yet.", class_="missing")]
    known = [meaning for name, meaning in _MEANINGS.items() if find(models, name)]
    note = " ".join([*known, _ERRORS, *([_PAIRED] if paired else [])])
    return [models_table(models, paired), element("p", note, class_="note")]


def _parity(parity: dict) -> list[Markup] | None:
    if not parity:
        return None
    return [parity_table(parity), element("p", _PARITY, class_="note")]


def _stages(stages: Sequence[ReportedStage]) -> list[Markup] | None:
    if not stages:
        return None
    measures = {
        stage.name: formats.metric_name(stage.metric)
        + (f" on {formats.plural(round(stage.examples), 'example')}" if stage.examples else "")
        for stage in stages
    }
    if len(set(measures.values())) == 1:
        shown = next(iter(measures.values()))
    else:
        shown = "; ".join(f"{measure} ({name})" for name, measure in measures.items())
    return [
        tables.stages_table(stages),
        element("p", f"Scores are {shown}. {_COMPARABLE}", class_="note"),
    ]


def _candidate_charts(stages: Sequence[ReportedStage]) -> Markup | None:
    drawn = [
        charts.score_against_parameters(stages),
        *(charts.best_so_far(stage, position) for position, stage in enumerate(stages)),
    ]
    if stages and not any(drawn):
        return element("p", "No candidate has a score yet.", class_="missing")
    return _grid(drawn)


def _trainings(losses: dict, stages: Sequence[ReportedStage]) -> Markup | None:
    drawn = []
    for position, (name, records) in enumerate(losses.items()):
        drawn.append(charts.training(str(name), records or (), f"training-{position}"))
    for position, stage in enumerate(stages):
        for part, records in stage.shared_trainings.items():
            name = f"{stage.name}: shared supernet, {part}"
            drawn.append(charts.training(name, records, f"sharing-{position}-{part}"))
        drawn.append(charts.candidate_losses(stage, position))
    return _grid(drawn)


def _classes(report: dict) -> Markup | None:
    """Shows the classes of the searched model or, if it has none, of the last model."""
    by_model = report.get("classes") or {}
    name = SEARCHED if by_model.get(SEARCHED) else next(reversed(by_model), "")
    return classes_table(str(name), by_model.get(name) or ())


def _confusion(report: dict) -> Markup | None:
    drawn = [
        confusion(str(name), matrix.get("labels") or (), matrix.get("counts") or ())
        for name, matrix in (report.get("confusion") or {}).items()
        if matrix
    ]
    return _grid(drawn)


def _all_candidates(stages: Sequence[ReportedStage]) -> list[Markup]:
    if not stages:
        return []
    note = element("p", _COUNTED, class_="note")
    return [*(tables.candidates_details(stage) for stage in stages), note]


def _grid(drawn: Sequence[Markup | None]) -> Markup | None:
    drawn = [one for one in drawn if one]
    return element("div", drawn, class_="grid") if drawn else None
