"""The job that exports a saved model for deployment."""

import logging
from pathlib import Path

from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.splitting import stratified_draw
from tf_efficientbert.data.task_data import TaskData
from tf_efficientbert.export.agreement import require_agreement
from tf_efficientbert.export.delivery import deliver
from tf_efficientbert.export.huggingface import export_huggingface
from tf_efficientbert.export.litert_files import (
    LITERT,
    litert_forms,
    litert_timings,
    write_litert_files,
)
from tf_efficientbert.export.options import HUGGINGFACE, ExportOptions
from tf_efficientbert.export.parity import parity, saved_model_forms
from tf_efficientbert.export.question_export import export_questions
from tf_efficientbert.models.text_model import TextModel, load
from tf_efficientbert.storage import replaced_directory
from tf_efficientbert.training.run_directory import open_run_directory

__all__ = ["export"]

_log = logging.getLogger(__name__)


def export(options: ExportOptions) -> dict:
    """Writes SavedModel and LiteRT files, compares them on real text and times them.

    The comparison goes to parity.json, even if a form exceeds its limit, and to the version's
    assets.extra. The SavedModel version and litert/ appear in their folders only if no form
    exceeds its limit.

    With `questions`, the model must be a question answering model. Only its SavedModel is written,
    and compared with Keras on these questions, see `question_parity`.

    With the format "huggingface", only that folder is written, see `export_huggingface`. No data is
    needed then; flags that name data are only checked against the model's task.

    Returns: {"saved_model": path, "litert": {precision: {"path", "bytes", "latency_ms": {threads:
        median}}}, "mediapipe" and "litert_text": path, if written, "metric": the score that limits
        int8, "parity": see `parity`, "parity_split" and "parity_examples": the compared split and
        number of examples, "seconds": float}. Latencies are for one text padded to `max_tokens`.

    Raises:
        UserError: a flag or file is invalid, the data belongs to another task than the model, or
            an exported form exceeds its limit.
    """
    with open_run_directory(options) as run:
        if run.result:
            if "parity" in run.result:  # the limits may have changed since
                require_agreement(run.result["parity"], run.result["metric"], options.limits)
            return run.result
        model = load(options.model)
        if options.format == HUGGINGFACE:
            if options.names_data:
                _data_of(options, model)
            return run.finish(export_huggingface(model, run.path / "huggingface"))
        if options.questions:
            result = export_questions(
                model,
                options.questions,
                options.squad_version,
                options.limit,
                run.path,
                options.model_folder(run.path),
                options.limits,
            )
            return run.finish(result)
        data = _data_of(options, model)
        folder = options.model_folder(run.path)
        examples = _compared(data, options.compared_examples)
        encoded = model.encode(examples)
        with replaced_directory(run.path / "litert") as litert_folder:
            files = write_litert_files(
                model,
                litert_folder,
                options.max_tokens,
                options.litert_precisions,
                options.mediapipe_precision(model),
                options.text_in,
                model.encode(_own_examples(data)) if options.calibrates else None,
            )
            litert = litert_forms(files, examples, encoded, model.labels, options.mediapipe_python)

            def compare(version: Path) -> dict:
                forms = saved_model_forms(version, model.task, examples, encoded) | litert
                figures = parity(model, forms, examples, encoded)
                return {"split": data.score_split, "examples": len(examples), "forms": figures}

            version, report = deliver(
                model,
                run.path,
                folder,
                _own_examples(data),
                compare,
                data.task.metrics,
                options.limits,
            )
        paths = {file: run.path / "litert" / path.name for file, path in files.items()}
        _log.info("exported %s and %s", version, ", ".join(map(str, paths.values())))
        models = {precision: p for (kind, precision), p in paths.items() if kind == LITERT}
        return run.finish(
            {
                "saved_model": str(version),
                "litert": litert_timings(models, encoded, options.latency_runs),
                **{kind: str(path) for (kind, _), path in paths.items() if kind != LITERT},
                "metric": data.task.metrics[0],
                "parity": report["forms"],
                "parity_split": data.score_split,
                "parity_examples": len(examples),
            }
        )


def _own_examples(data: TaskData) -> Examples:
    """Returns the examples for warm-up requests and calibration."""
    return data.load("dev" if "dev" in data.splits else data.score_split)


def _compared(data: TaskData, count: int) -> Examples:
    """Returns the examples of the scored split that exported forms are compared on."""
    examples = data.load(data.score_split)
    if not count:
        return examples
    return examples.take(stratified_draw(data.task.strata(examples.labels), count, seed=0))


def _data_of(options: ExportOptions, model: TextModel) -> TaskData:
    """Returns the data that the flags name; raises UserError if it is of another task."""
    data = TaskData(options, model.task)
    model.require(data.task, options.max_tokens, f"--model={options.model}")
    model.score_by(data.task.metrics)
    return data
