"""The pipeline in one call: teacher, supernet, search, students, export, report."""

import json
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from tf_efficientbert.compression.compress import compress
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.task_data import TaskData
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.distillation.distiller import distill_side_by_side
from tf_efficientbert.distillation.teacher_predictions import read_predictions
from tf_efficientbert.distillation.warm_up import warm_up
from tf_efficientbert.export.exporter import export
from tf_efficientbert.metrics.paired import paired_difference
from tf_efficientbert.models.teacher import find_teacher
from tf_efficientbert.models.text_model import TextModel, load
from tf_efficientbert.pipeline.options import COMPRESSED, STUDENTS, PipelineOptions
from tf_efficientbert.pipeline.plan import plan
from tf_efficientbert.pipeline.rates import measured_rates
from tf_efficientbert.pipeline.report import describe_model
from tf_efficientbert.reporting.collect import collect
from tf_efficientbert.reporting.models import PLAIN
from tf_efficientbert.reporting.page import page
from tf_efficientbert.search.search import search
from tf_efficientbert.search.study import STUDY, Study
from tf_efficientbert.storage import write_file
from tf_efficientbert.training.fine_tune import fine_tune
from tf_efficientbert.training.run_directory import open_run_directory

_QUESTIONS = 2


def run_pipeline(options: PipelineOptions, say=print) -> dict:
    """Trains teacher and, if fresh, supernet; searches, distils, compresses, exports and reports.

    Every phase keeps its state in its own folder. An interrupted run resumes from there.

    Args:
        say: called with each line of progress.

    Returns: the report, also written to `output_dir`/report.json: {"task", "split", "examples",
        "models": see `describe_model`, "search": {"stages": see `Study.described`}, "confusion":
        {model: {"labels", "counts" [true][predicted]}}, "classes": {model: see
        `LabelledTask.per_class`}, "paired": {model: see `paired_difference`, against the plain
        one}, "data": see `data.card.describe`, "parity": {model: {form: figures}},
        "answers": [{"text", "second_text", "label", "score", "said", "expected"}],
        "seconds": {phase: seconds, disjoint}} and, with `compress`, "compression": see
        `compress`'s "steps". report.html in the same folder shows the same in a browser.

    Raises:
        UserError: a flag or file is invalid.
    """
    with open_run_directory(options, "report.json") as run:
        if run.result:
            say(f"{run.path} is finished. Its report:")
            return run.result
        data = TaskData(options)
        test = data.load(data.score_split)  # reports bad files now, not after the trainings
        if options.teacher_predictions:
            read_predictions(options.teacher_predictions, data.load("train"), data.task)
        tokenizer = Tokenizer.from_folder(find_teacher(options.teacher_dir))
        data.show_card(tokenizer)
        options.check_sizes()
        options.write_own_text()
        phases = {
            "teacher": lambda: fine_tune(options.teacher()),
            **(
                {"supernet": lambda: warm_up(options.warm_up(data.task.pair))}
                if options.trains_supernet
                else {}
            ),
            "search": lambda: search(options.search()),
            "students": lambda: distill_side_by_side(
                {name: options.student(name) for name in STUDENTS}
            ),
            **({COMPRESSED: lambda: compress(options.compressed())} if options.compress else {}),
            **{
                f"export_{name}": lambda name=name: export(options.export(name))
                for name in options.models
            },
        }
        finished = _finished(options.root, phases)
        say(plan(options, data, measured_rates(options.bfloat16), finished))
        results = {}
        for number, (name, phase) in enumerate(phases.items(), start=1):
            done = ": already finished" if name in finished else ""
            say(f"[{number}/{len(phases)}] {name.replace('_', ' ')}{done}")
            results[name] = phase()
            if name == (COMPRESSED if options.compress else "students"):
                # No later phase learns from the teacher.
                shutil.rmtree(options.teacher_outputs, ignore_errors=True)
        started = time.monotonic()
        exports = {name: results[f"export_{name}"] for name in options.models}
        models = {name: load(options.root / name / "model") for name in options.models}
        for model in models.values():
            model.score_by(data.task.metrics)
        report = {
            "task": data.task.name,
            "split": data.score_split,
            "examples": len(test),
            "data": data.card(tokenizer),
            **_scores(models, exports, test, data.score_split),
            "search": {"stages": Study(options.root / "search" / STUDY, False).described()},
            "parity": {name: exports[name]["parity"] for name in options.models},
            "parity_examples": exports[PLAIN]["parity_examples"],
            "answers": _ask(models["searched"], test),
        }
        if options.compress:
            report["compression"] = results[COMPRESSED]["steps"]
        seconds = _finished(options.root, phases)
        seconds["report"] = time.monotonic() - started
        report["seconds"] = seconds
        write_file(run.path / "report.html", page(collect(run.path, report)).encode("utf-8"))
        return run.finish(report)


def _finished(root: Path, phases: Iterable[str]) -> dict[str, float]:
    """The seconds of the phases that have finished, in this process or an earlier one."""
    seconds = {}
    for name in phases:
        # Students learn side by side: the last one's time is that of all.
        jobs = STUDENTS if name == "students" else (name.replace("_", "/"),)
        paths = [root / job / "result.json" for job in jobs]
        if all(path.is_file() for path in paths):
            results = [json.loads(path.read_text("utf-8")) for path in paths]
            seconds[name] = max(result["seconds"] for result in results)
    return seconds


def _scores(
    models: dict[str, TextModel], exports: dict[str, dict], test: Examples, split: str
) -> dict:
    """Returns {"models", "paired", "confusion", "classes"} of the report; the last two have only
    what the kind of task has."""
    described, paired, confusion, classes = [], {}, {}, {}
    logits = {name: model.logits(model.encode(test)) for name, model in models.items()}
    for name, model in models.items():
        task, own = model.task, logits[name]
        scores = task.report(own, test.labels)
        described.append(describe_model(name, model, scores, exports[name], split))
        confusion[name] = task.confusion(own, test.labels)
        classes[name] = task.per_class(own, test.labels)
        if name != PLAIN:
            paired[name] = paired_difference(
                task, own, logits[PLAIN], test.labels, their_task=models[PLAIN].task
            )
    return {
        "models": described,
        "paired": paired,
        "confusion": {name: each for name, each in confusion.items() if each},
        "classes": {name: each for name, each in classes.items() if each},
    }


def _ask(student: TextModel, test: Examples) -> list[dict]:
    """Returns the student's predictions for the first test texts, with the expected labels."""
    examples = test.first(_QUESTIONS)
    predictions = student.predict(*examples.columns)
    seconds = examples.second_texts or [""] * len(examples)
    expected = [student.task.shown(target) for target in examples.labels]
    rows = zip(examples.texts, seconds, predictions, expected, strict=True)
    return [
        {
            "text": first,
            "second_text": second,
            **answer._asdict(),
            "said": student.task.worded(answer),
            "expected": right,
        }
        for first, second, answer, right in rows
    ]
