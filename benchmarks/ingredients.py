"""Measures what each ingredient of the distillation is worth, on one task.

    python -m benchmarks.ingredients --output_dir=runs/ingredients/snippets --bfloat16

Takes the flags of `run_pipeline`. Trains the teacher once, and for each row and seed a plain
student as the pipeline does, but for the row's change. The rows of a seed learn side by side.
Prints scores on the dev split, and each row's difference to the first one on the same examples,
averaged over the seeds: with its standard error over examples, and the lowest and highest
difference of a seed. Can be stopped at any time; the same command continues.
"""

import dataclasses
import json
import statistics
from pathlib import Path

import numpy as np

from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.task_data import TaskData
from tf_efficientbert.data.unlabelled import read_unlabelled
from tf_efficientbert.distillation.distiller import DistillOptions, distill_side_by_side
from tf_efficientbert.distillation.warm_up import warm_up
from tf_efficientbert.errors import UserError
from tf_efficientbert.metrics.paired import mean_paired_difference
from tf_efficientbert.models.text_model import load
from tf_efficientbert.options import option
from tf_efficientbert.pipeline.options import FRESH, PipelineOptions
from tf_efficientbert.storage import write_json
from tf_efficientbert.training.fine_tune import fine_tune
from trainers.job import run_job

# The change of the student's flags in each row. FRESH: a supernet of the pipeline's own warm-up.
# Without unlabelled texts there are more passes, so that the steps stay as many.
ROWS = {
    "all": {},
    "fresh-supernet": {"supernet": FRESH},
    "no-unlabelled": {"unlabelled_file": ""},
    "predictions-alone": {"recipe": "logits"},
    "relations": {"recipe": "relations"},
    "twice-the-passes": {"epochs": 2.0},  # times those of the others
    "no-dropout": {"dropout": 0.0},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class IngredientOptions(PipelineOptions):
    """Options of the benchmark."""

    rows: str = option("", f"rows to train, of {', '.join(ROWS)}; empty: all")
    seeds: str = option("0,1,2", "seeds of the students")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.row_names:
            if name not in ROWS:
                raise UserError(f"--rows: {name} is unknown; expected {', '.join(ROWS)}")
        if not self.row_names:
            raise UserError(f"--rows={self.rows} needs --unlabelled_file")
        self.seed_numbers  # noqa: B018  checks --seeds

    @property
    def row_names(self) -> list[str]:
        """The rows, in the table's order; without unlabelled texts there is none to leave out."""
        given = self.rows.split(",") if self.rows else list(ROWS)
        return [row for row in given if self.unlabelled_file or row != "no-unlabelled"]

    @property
    def seed_numbers(self) -> list[int]:
        """The seeds; raises UserError if one is not a number."""
        try:
            return [int(seed) for seed in self.seeds.split(",")]
        except ValueError as error:
            raise UserError(f"--seeds={self.seeds}: expected numbers such as 0,1,2") from error

    def row(self, name: str, seed: int, examples_by_labelled: float) -> DistillOptions:
        """The student of one row.

        Args:
            examples_by_labelled: examples to learn from, divided by those with labels.
        """
        change = {"output_dir": str(self.root / f"{name}-{seed}"), "seed": seed, **ROWS[name]}
        if change.get("supernet") == FRESH:
            change["supernet"] = self._model("supernet")
        if "unlabelled_file" in change:
            change["unlabelled_share"] = DistillOptions.unlabelled_share
            change["epochs"] = examples_by_labelled
        if "epochs" in change:
            change["epochs"] *= self.student_epochs
        return dataclasses.replace(self.student("plain"), **change)


def measure(options: IngredientOptions) -> list[dict]:
    """Trains what is missing; returns the table, also in `output_dir`/ingredients.json."""
    options.check_sizes()
    options.root.mkdir(parents=True, exist_ok=True)
    options.write_own_text()
    data = TaskData(options)
    dev = data.load("dev")
    fine_tune(options.teacher())
    teacher = load(options.root / "teacher" / "model")
    if options.trains_supernet or "fresh-supernet" in options.row_names:
        warm_up(dataclasses.replace(options, supernet=FRESH).warm_up(teacher.task.pair))
    seeds, examples_by_labelled = options.seed_numbers, _examples_by_labelled(options, data)
    logits = {}
    for seed in seeds:
        students = {
            name: options.row(name, seed, examples_by_labelled) for name in options.row_names
        }
        distill_side_by_side(students)  # trains those that are missing, and refuses other flags
        for name, student in students.items():
            logits[name, seed] = _dev_logits(Path(student.output_dir), dev)
    # Thresholds of a multi-label task are the same for all: those of the teacher.
    task = teacher.task
    score = task.metrics[0]

    def scored(values: np.ndarray) -> float:
        return task.score(values, dev.labels)[score]

    print(f"{task.name}: {score} of {len(dev)} dev examples; {len(seeds)} seeds")
    rows = [{"row": "teacher", "scores": [scored(teacher.logits(teacher.encode(dev)))]}]
    first = options.row_names[0]
    for name in options.row_names:
        ours, base = ([logits[row, seed] for seed in seeds] for row in (name, first))
        row = {"row": name, "scores": [scored(values) for values in ours]}
        if name != first:
            row |= mean_paired_difference(task, ours, base, dev.labels)
        rows.append(row)
    write_json(options.root / "ingredients.json", rows)
    return rows


def _examples_by_labelled(options: IngredientOptions, data: TaskData) -> float:
    if not options.unlabelled_file:
        return 1.0
    texts = read_unlabelled(options.unlabelled_file, options.unlabelled_share, options, data)
    return 1 + len(texts) / len(data.load("train"))


def _dev_logits(folder: Path, dev: Examples) -> np.ndarray:
    """Returns the logits on the dev split of the student in `folder`."""
    path = folder / "dev_logits.json"
    if not path.is_file():
        student = load(folder / "model")
        write_json(path, student.logits(student.encode(dev)).tolist())
    return np.array(json.loads(path.read_text("utf-8")), np.float32)


def _line(row: dict) -> str:
    scores = [100 * score for score in row["scores"]]
    mean = statistics.mean(scores)
    said = f"| {row['row']} | {mean:.1f} ({min(scores):.1f} to {max(scores):.1f})"
    if "difference" not in row:
        return f"{said} | |"
    low, high = (100 * value for value in row["range"])
    difference, error = 100 * row["difference"], 100 * row["standard_error"]
    return f"{said} | {difference:+.1f} +- {error:.1f} ({low:+.1f} to {high:+.1f}) |"


if __name__ == "__main__":
    run_job(IngredientOptions, measure, report=lambda rows: print(*map(_line, rows), sep="\n"))
