"""What a run made, as data and as a table to read."""

import json
import shlex
from pathlib import Path

from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.reporting.compression import compression_rows
from tf_efficientbert.reporting.formats import metric_name
from tf_efficientbert.reporting.models import gap_sentence
from tf_efficientbert.reporting.parity import parity_rows
from tf_efficientbert.reporting.study import ReportedStage, reported_stages
from tf_efficientbert.reporting.tables import text_table

_BEFORE_SCORE = ("model", "parameters", "MACs")
_AFTER_SCORE = (
    "float32 MB",
    "int8 MB",
    "float32 ms (1/2 threads)",
    "int8 ms (1/2 threads)",
    "of teacher",
)


def describe_model(
    name: str, model: TextModel, scores: dict[str, float], exported: dict, split: str
) -> dict:
    """One model's entry in the report.

    Returns: {"name", "architecture" (JSON's view), "parameters" (as deployed: encoder and head),
        "macs" (at 128 tokens, of the encoder), "test_accuracy" and
        "test_accuracy_standard_error" (or the task's own metrics, and "dev_" where that is the
        split that is scored), "litert": {precision: {"bytes", "latency_ms": {threads: median}}}}.
    Args:
        scores: of the Keras model, by metric, on the `split`.
        exported: what its export returned.
    """
    litert = {
        precision: {key: figures[key] for key in ("bytes", "latency_ms")}
        for precision, figures in exported["litert"].items()
    }
    return {
        "name": name,
        "architecture": json.loads(model.backbone.architecture.to_json()),
        "parameters": model.model.count_params(),
        "macs": model.backbone.architecture.count_macs(),
        **{f"{split}_{metric}": value for metric, value in scores.items()},
        "litert": litert,
    }


def render(report: dict, folder: str | Path, python: str = "python") -> str:
    """The report as text: table, agreement of the exported forms, seconds, what to type next.

    Args:
        folder: the run's output directory.
        python: how the reader starts the interpreter that this runs in.
    """
    asked = report["answers"][0]
    texts = {flag: asked[flag] for flag in ("text", "second_text") if asked[flag]}
    question = " ".join(f"--{flag}={shlex.quote(text)}" for flag, text in texts.items())
    parts = [
        f"Scores on the {report['examples']} examples of {report['task']}, split {report['split']};"
        " latency of one text padded to the full length, medians.",
        text_table(_model_rows(report["models"], report["split"])),
        gap_sentence(report["models"], report.get("paired") or {}),
        *_compression(report.get("compression")),
        *_stages(reported_stages(report)),
        "Exported forms: score, share of answers that are the Keras model's, largest difference:",
        text_table(parity_rows(report["parity"])),
        "Seconds: " + ", ".join(f"{k} {v:.0f}" for k, v in report["seconds"].items()),
        "Asked, the searched student said:",
        *map(_answer, report["answers"]),
        "Made: "
        f"{folder}/searched/model (Keras), {folder}/export/searched (SavedModel, LiteRT), "
        f"{folder}/report.json",
        f"Look at {folder}/report.html in a browser.",
        f"Next: {python} -m trainers.predict --model={folder}/searched/model {question}",
    ]
    return "\n".join(parts)


def _model_rows(models: list[dict], split: str) -> list[list[str]]:
    metric = next(key for key in models[0] if key.startswith(f"{split}_"))
    name = metric_name(metric.removeprefix(f"{split}_"))
    head = [*_BEFORE_SCORE, name, *_AFTER_SCORE]
    return [head, *(_row(model, metric, models[0]) for model in models)]


def _row(model: dict, metric: str, teacher: dict) -> list[str]:
    score, error = model[metric], model.get(f"{metric}_standard_error")
    shown = f"{100 * score:.1f}" + (f" ± {100 * error:.1f}" if error is not None else "")
    files = [model["litert"][precision] for precision in ("float32", "int8")]
    return [
        model["name"],
        f"{model['parameters'] / 1e6:.2f} M",
        f"{model['macs'] / 1e9:.3f} G",
        shown,
        *(f"{file['bytes'] / 1e6:.1f}" for file in files),
        *(" / ".join(f"{ms:.1f}" for ms in file["latency_ms"].values()) for file in files),
        f"{100 * score / teacher[metric]:.1f}%" if teacher[metric] > 0 else "-",
    ]


def _answer(answer: dict) -> str:
    """What was said; what would be right where it was not said."""
    expected = answer["expected"]
    right = "" if answer["label"] == expected else f", the data say {expected or 'no label'}"
    return f"  {answer['said']}{right}:  {answer['text']}"


def _compression(steps: list[dict] | None) -> list[str]:
    if not steps:
        return []
    return ["What each step of compression cost and saved:", text_table(compression_rows(steps))]


def _stages(stages: list[ReportedStage]) -> list[str]:
    """A line a stage: how many candidates, the best of them, the time."""
    lines = []
    for stage in stages:
        tried = stage.candidates
        failed = sum(candidate.failed for candidate in tried)
        lines.append(
            f"Search, {stage.name}: {len(tried)} candidates"
            + (f", {failed} of them failed" if failed else "")
            + f", best {metric_name(stage.metric)} {100 * stage.best.score:.1f} on "
            f"{stage.examples:.0f} held-out examples, {stage.seconds:.0f} s"
        )
    return lines
