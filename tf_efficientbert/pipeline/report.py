"""The report of a pipeline run, as data and as text."""

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
    """Returns one model's entry in the report.

    Args:
        scores: the Keras model's scores on `split`, by metric.
        exported: the result of `export`.

    Returns: {"name", "architecture" (its JSON form), "parameters" (as deployed: encoder and head),
        "macs" (at 128 tokens, of the encoder), "test_accuracy" and
        "test_accuracy_standard_error" (or the task's own metrics; "dev_" if that is the scored
        split), "litert": {precision: {"bytes", "latency_ms": {threads: median}}}}.
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


def render(report: dict, folder: str | Path, program: str = "tf-efficientbert") -> str:
    """Formats the report as text: tables, agreement of the exported forms, seconds, next command.

    Args:
        folder: the run's output directory.
        program: how the reader calls `tf-efficientbert`.
    """
    example = report["answers"][0]
    texts = {flag: example[flag] for flag in ("text", "second_text") if example[flag]}
    text_flags = " ".join(f"--{flag}={shlex.quote(text)}" for flag, text in texts.items())
    parts = [
        f"Scores on the {report['examples']} examples of {report['task']}, split {report['split']}."
        " Latencies are medians for one text padded to the full length.",
        text_table(_model_rows(report["models"], report["split"])),
        gap_sentence(report["models"], report.get("paired") or {}),
        *_compression(report.get("compression")),
        *_stages(reported_stages(report)),
        "Exported forms: score, agreement with the Keras model, largest difference:",
        text_table(parity_rows(report["parity"])),
        "Seconds: " + ", ".join(f"{k} {v:.0f}" for k, v in report["seconds"].items()),
        "Predictions of the searched student:",
        *map(_answer, report["answers"]),
        "Files: "
        f"{folder}/searched/model (Keras), {folder}/export/searched (SavedModel, LiteRT), "
        f"{folder}/report.json",
        f"Open {folder}/report.html in a browser.",
        f"Next: {program} predict --model={folder}/searched/model {text_flags}",
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
    """Formats a prediction, with the expected label if it differs."""
    expected = answer["expected"]
    correction = "" if answer["label"] == expected else f", expected {expected or 'no label'}"
    return f"  {answer['said']}{correction}:  {answer['text']}"


def _compression(steps: list[dict] | None) -> list[str]:
    if not steps:
        return []
    return ["Score and size after each compression step:", text_table(compression_rows(steps))]


def _stages(stages: list[ReportedStage]) -> list[str]:
    """Returns a line for each stage: number of candidates, best score, time."""
    lines = []
    for stage in stages:
        failed = sum(candidate.failed for candidate in stage.candidates)
        lines.append(
            f"Search, {stage.name}: {len(stage.candidates)} candidates"
            + (f", {failed} of them failed" if failed else "")
            + f", best {metric_name(stage.metric)} {100 * stage.best.score:.1f} on "
            f"{stage.examples:.0f} held-out examples, {stage.seconds:.0f} s"
        )
    return lines
