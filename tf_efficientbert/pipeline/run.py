"""The whole road in one call: teacher, warm-up, search, students, export, report."""

import time

import numpy as np

from tf_efficientbert.compression.compress import compress
from tf_efficientbert.data.task import Examples
from tf_efficientbert.data.task_data import TaskData
from tf_efficientbert.distillation.distiller import distill
from tf_efficientbert.distillation.warm_up import warm_up
from tf_efficientbert.export.exporter import export
from tf_efficientbert.models.text_model import TextModel, load
from tf_efficientbert.pipeline.options import COMPRESSED, STUDENTS, PipelineOptions
from tf_efficientbert.pipeline.plan import plan
from tf_efficientbert.pipeline.report import describe_model
from tf_efficientbert.reporting.collect import collect
from tf_efficientbert.reporting.page import page
from tf_efficientbert.search.search import search
from tf_efficientbert.search.study import STUDY, Study
from tf_efficientbert.storage import write_file
from tf_efficientbert.training.fine_tune import fine_tune
from tf_efficientbert.training.run_directory import open_run_directory

_QUESTIONS = 2


def run_pipeline(options: PipelineOptions, say=print) -> dict:
    """Makes teacher and supernet, searches, distils students, compresses, exports and reports.

    Every phase keeps its state in a folder of its own; a run that was interrupted goes on there.

    Args:
        say: takes each line meant for whoever watches.

    Returns: the report, also written to `output_dir`/report.json: {"task", "split", "examples",
        "models": see `describe_model`, "search": {"stages": see `Study.described`}, "confusion":
        {model: {"labels", "counts" [true][predicted]}}, "parity": {model: {form: figures}},
        "answers": [{"text", "second_text", "label", "score", "expected"}], "seconds": {phase:
        seconds, disjoint}} and, where something is compressed, "compression": see `compress`'s
        "steps". report.html, beside it, is for looking at.

    Raises:
        UserError: for everything that is wrong with flags or files.
    """
    with open_run_directory(options, "report.json") as run:
        if run.result:
            say(f"{run.path} is finished; this is its report.")
            return run.result
        data = TaskData(options)
        test = data.load(data.score_split)  # bad files are met now, not after the trainings
        options.check_sizes()
        options.write_own_text()
        phases = {
            "teacher": lambda: fine_tune(options.teacher()),
            "supernet": lambda: warm_up(options.supernet()),
            "search": lambda: search(options.search()),
            **{name: lambda name=name: distill(options.student(name)) for name in STUDENTS},
            **({COMPRESSED: lambda: compress(options.compressed())} if options.compress else {}),
            **{
                f"export_{name}": lambda name=name: export(options.export(name))
                for name in options.models
            },
        }
        finished = [
            name
            for name in phases
            if (options.root / name.replace("_", "/") / "result.json").is_file()
        ]
        say(plan(options, data, finished))
        results = {}
        for number, (name, phase) in enumerate(phases.items(), start=1):
            done = ": finished before" if name in finished else ""
            say(f"[{number}/{len(phases)}] {name.replace('_', ' ')}{done}")
            results[name] = phase()
        started = time.monotonic()
        exports = {name: results[f"export_{name}"] for name in options.models}
        models = {name: load(options.root / name / "model") for name in options.models}
        report = {
            "task": data.task.name,
            "split": data.score_split,
            "examples": len(test),
            "models": [
                describe_model(name, model, exports[name], data.score_split)
                for name, model in models.items()
            ],
            "search": {"stages": Study(options.root / "search" / STUDY, False).described()},
            "confusion": {}
            if data.task.is_regression
            else {name: _confusion(model, test) for name, model in models.items()},
            "parity": {name: exports[name]["parity"] for name in options.models},
            "answers": _ask(models["searched"], test),
        }
        if options.compress:
            report["compression"] = results[COMPRESSED]["steps"]
        seconds = {name: result["seconds"] for name, result in results.items()}
        seconds["report"] = time.monotonic() - started
        report["seconds"] = seconds
        write_file(run.path / "report.html", page(collect(run.path, report)).encode("utf-8"))
        return run.finish(report)


def _confusion(model: TextModel, test: Examples) -> dict:
    predicted = model.logits(model.encode(test)).argmax(axis=-1)
    counts = np.zeros((len(model.labels), len(model.labels)), int)
    np.add.at(counts, (test.labels, predicted), 1)
    return {"labels": list(model.labels), "counts": counts.tolist()}


def _ask(student, test) -> list[dict]:
    """What the student says to the first texts of the test set, and what would be right."""
    asked = test.first(_QUESTIONS)
    predictions = student.predict(asked.sentences, asked.second_sentences)
    seconds = asked.second_sentences or [""] * len(asked)
    expected = (
        [student.labels[i] for i in asked.labels] if student.labels else asked.labels.tolist()
    )
    rows = zip(asked.sentences, seconds, predictions, expected, strict=True)
    return [
        {"text": first, "second_text": second, **answer._asdict(), "expected": right}
        for first, second, answer, right in rows
    ]
