"""Scores the students of `benchmarks.ingredients` as users get them: quantized, on the test split.

    python -m benchmarks.students --run=runs/ingredients/snippets

Takes the run's flags about data. Reads the test split or, if that has no labels, the dev split.
Prints the teacher's score, then for the students of a row the mean score over the seeds in
float32, int8 and int4, its share of the teacher's, and the difference to float32 in points with
its range. Can be stopped at any time; the same command continues.
"""

import dataclasses
import json
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.litert import LiteRtModel, export_litert
from tf_efficientbert.models.text_model import TextModel, load
from tf_efficientbert.options import input_option, option
from tf_efficientbert.storage import write_json
from trainers.job import run_job

_FLOAT32 = "float32"
_QUANTIZED = ("int8", "int4")
_THREADS = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudentsOptions(TaskOptions):
    """Options of the benchmark."""

    run: str = input_option("", "output folder of benchmarks.ingredients")
    row: str = option("all", "the row whose students are scored")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.students:
            raise UserError(f"--run={self.run} has no student of --row={self.row}")

    @property
    def students(self) -> list[Path]:
        """The folder of each seed's student."""
        return sorted(path.parent for path in Path(self.run).glob(f"{self.row}-*/model"))


def measure(options: StudentsOptions) -> list[dict]:
    """Scores the models that have no scores yet.

    Returns: {"model", "parameters", "scores": [one for each seed]}, of the teacher and of each form
        of the students; also in the run's students.json.
    """
    root = Path(options.run)
    teacher, *students = (
        _figures(folder, options) for folder in (root / "teacher", *options.students)
    )
    rows = [_row("teacher", [teacher], _FLOAT32)]
    rows += [_row(form, students, form) for form in (_FLOAT32, *_QUANTIZED)]
    write_json(root / "students.json", rows)
    return rows


def _row(model: str, figures: list[dict], form: str) -> dict:
    parameters = figures[0]["parameters"]
    return {"model": model, "parameters": parameters, "scores": [seed[form] for seed in figures]}


def _figures(folder: Path, options: StudentsOptions) -> dict:
    """Returns the scores of a model by form, and its parameters.

    Raises:
        UserError: they were measured with other flags.
    """
    path = folder / "scores.json"
    flags = dataclasses.asdict(options)
    del flags["run"], flags["row"]
    if not path.is_file():
        model = load(folder / "model")
        data = TaskData(options, model.task)
        model.score_by(data.task.metrics)
        precisions = () if folder.name == "teacher" else _QUANTIZED
        figures = _measured(model, data.load(data.score_split), precisions)
        write_json(path, {"flags": flags, "figures": figures})
    measured = json.loads(path.read_text("utf-8"))
    for name, value in flags.items():
        if measured["flags"].get(name) != value:
            raise UserError(
                f"{path} is of --{name}={measured['flags'].get(name)}, not {value}; delete it to "
                "measure again"
            )
    return measured["figures"]


def _measured(model: TextModel, examples: Examples, precisions: tuple[str, ...]) -> dict:
    encoded, metric = model.encode(examples), model.task.metrics[0]

    def score(logits: np.ndarray) -> float:
        return model.task.score(logits, examples.labels)[metric]

    figures = {"parameters": model.model.count_params(), _FLOAT32: score(model.logits(encoded))}
    with tempfile.TemporaryDirectory() as folder:
        paths = export_litert(model, folder, model.max_tokens, precisions)
        for precision, path in paths.items():
            figures[precision] = score(LiteRtModel(path, _THREADS).logits(encoded))
    return figures


def _lines(rows: list[dict]) -> Iterator[str]:
    teacher, float32, *_ = (row["scores"] for row in rows)
    yield "| model | parameters | score | share of the teacher's | change to float32 |"
    yield "| --- | --- | --- | --- | --- |"
    for row in rows:
        mean = statistics.mean(row["scores"])
        said = f"| {row['model']} | {row['parameters'] / 1e6:.2f} M | {100 * mean:.1f} |"
        if row["model"] == "teacher":
            yield f"{said} | |"
            continue
        changes = [100 * (a - b) for a, b in zip(row["scores"], float32, strict=True)]
        change, low, high = statistics.mean(changes), min(changes), max(changes)
        share = mean / statistics.mean(teacher)
        yield f"{said} {share:.1%} | {change:+.2f} ({low:+.2f} to {high:+.2f}) |"


if __name__ == "__main__":
    run_job(StudentsOptions, measure, report=lambda rows: print(*_lines(rows), sep="\n"))
