"""Measures the cost of a candidate: shared teacher passes, and slices of a shared supernet.

    python -m benchmarks.search --run=runs/quickstart --json=search.json

Needs the folder of a finished run on the default data. Prints medians, in the run's precision:

- training: examples per second and candidate, with one teacher pass for a group and with a separate
  teacher pass for each candidate, alternately. The group's candidates run in threads, as in a
  search.
- scoring: time of one candidate of stage 3 (`SharedWeights.evaluate`, including all overhead),
  compared with the forward passes of the same slice as a separate network; and the number of traced
  graphs.
"""

import dataclasses
import functools
import json
import statistics
import tempfile
import time
from pathlib import Path

import tensorflow as tf
from absl import app, flags

from tf_efficientbert.data.batching import TrainingBatches
from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.distillation.recipes import Recipe
from tf_efficientbert.distillation.teacher_pass import TeacherPass
from tf_efficientbert.models.pretrained_supernet import load_supernet
from tf_efficientbert.models.text_model import load
from tf_efficientbert.search.budget import Budget
from tf_efficientbert.search.context import SearchContext
from tf_efficientbert.search.examples import SearchExamples
from tf_efficientbert.search.group import side_by_side
from tf_efficientbert.search.held_out import HeldOut
from tf_efficientbert.search.learner import Learner
from tf_efficientbert.search.shared_weights import SharedWeights
from tf_efficientbert.search.space import SizeSpace
from tf_efficientbert.search.stages import RECIPES
from tf_efficientbert.search.study import STUDY, Study, Trial, best_of
from tf_efficientbert.storage import write_json
from tf_efficientbert.training.options import TrainingOptions, make_deterministic

_RUN = flags.DEFINE_string("run", "runs/quickstart", "folder of a finished run")
_JSON = flags.DEFINE_string("json", "", "also write all medians to this file")
_GROUP = flags.DEFINE_integer("group", 4, "candidates with one teacher pass")
_STEPS = flags.DEFINE_integer("steps", 15, "steps per repetition")
_TURNS = flags.DEFINE_integer("turns", 5, "repetitions")
_CANDIDATES = flags.DEFINE_integer("candidates", 12, "number of slices to score")
_BATCH = 32


def main(_) -> None:
    make_deterministic()
    run = Path(_RUN.value)
    context = _context(run)
    rows = [*_training(run, context), *_scoring(run, context)]
    for row in rows:
        print("  ".join(f"{name}: {value}" for name, value in row.items()))
    if _JSON.value:
        write_json(_JSON.value, rows)


def _context(run: Path) -> SearchContext:
    flags = json.loads((run / "search" / "config.json").read_text("utf-8"))["flags"]
    precision = TrainingOptions(bfloat16=flags["bfloat16"])
    teacher, supernet = load(run / "teacher" / "model"), load_supernet(flags["supernet"])
    task = teacher.task
    train = TaskData(TaskOptions(task=task.name, max_tokens=teacher.max_tokens)).load("train")
    encoded = teacher.encode(train)
    frozen = teacher.model.rebuilt(dtype=precision.frozen_dtype)
    recipe = Recipe(attention_ratio=0.0, real_tokens_only=True, sum_over_classes=True)
    architectures = teacher.backbone.architecture, supernet.backbone.architecture
    objective = recipe.objective(*architectures, task)
    passes = TeacherPass(frozen, objective.teacher_reads)
    return SearchContext(
        task=task,
        supernet=supernet.backbone,
        text_teacher=passes,
        task_teacher=passes,
        examples=SearchExamples(
            text=encoded, train=encoded, for_distillation=encoded, task=task, seed=0
        ),
        objective=objective,
        dropout=0.1,
        dtype=precision.dtype,
        seed=0,
        group_size=_GROUP.value,
        checkpoint_seconds=1e9,
        teacher_memory_gb=0.0,
    )


def _trials(run: Path, stage: int) -> list[Trial]:
    study = Study(run / "search" / STUDY, writable=False)
    return study.trials(study.stages[stage])


def _learn(batch: dict, teacher_outputs: dict, step: int, learner: Learner) -> float:
    return learner.learn(batch, teacher_outputs, step, learning_rate=1e-3)


def _training(run: Path, context: SearchContext) -> list[dict]:
    learners = []
    for trial in _trials(run, 0)[: _GROUP.value]:
        learners.append(context.learner(trial.architecture, trial.seed))
    cached = context.task_teacher.cached(context.examples.train, 2.0, True, memory_gb=8.0)
    assert cached is not context.examples.train

    def turn(groups: list[list[Learner]], examples) -> float:
        source = TrainingBatches(examples, _BATCH, seed=0)
        started = time.perf_counter()
        for group in groups:
            for step in range(_STEPS.value):
                batch = {name: tf.constant(array) for name, array in source[step].items()}
                teacher_outputs = context.task_teacher(batch)
                learn = functools.partial(_learn, batch, teacher_outputs, step)
                side_by_side(dict(enumerate(group)), learn)
        return time.perf_counter() - started

    together, alone = [learners], [[learner] for learner in learners]
    turn(together, cached)  # traces
    ways = {
        "together, teacher recorded": (together, cached),
        "together": (together, context.examples.train),
        "one at a time": (alone, context.examples.train),
    }
    seconds = [
        {name: turn(groups, examples) for name, (groups, examples) in ways.items()}
        for _ in range(_TURNS.value)
    ]
    examples = _BATCH * _STEPS.value * len(learners)
    rates = {
        name: round(examples / statistics.median(row[name] for row in seconds), 1) for name in ways
    }
    ratios = {
        f"{name}, over one at a time": round(
            statistics.median(row["one at a time"] / row[name] for row in seconds), 3
        )
        for name in ways
        if name != "one at a time"
    }
    measured = "training, examples per second and candidate"
    return [{"measured": measured, "group": len(learners), **rates, **ratios}]


def _scoring(run: Path, context: SearchContext) -> list[dict]:
    (stage,) = (stage for stage in RECIPES["quick"] if stage.shares_weights)
    best = best_of(_trials(run, 1)).architecture
    training = dataclasses.replace(stage.training, text_share=0.0, task_share=0.1, task_epochs=0.1)
    stage = dataclasses.replace(stage, training=training)
    sizes = context.supernet
    budget = Budget(0, 10**9, sizes.fit_size, sizes.vocabulary_size, sizes.max_positions)
    space = SizeSpace(best, budget)
    with tempfile.TemporaryDirectory() as folder:
        evaluator = SharedWeights(context, stage, best, space, Path(folder))
    held_out = HeldOut(context.task, context.examples.held_out(stage.held_out))
    evaluator.evaluate({0: best})  # traces
    traces = evaluator.traces
    rows = []
    for index in range(_CANDIDATES.value):
        architecture = space.draw(f"benchmark/{index}")
        alone = context.learner(architecture, 0)
        held_out.score(alone)
        times = []
        for _ in range(_TURNS.value):
            started = time.perf_counter()
            evaluator.evaluate({index: architecture})
            between = time.perf_counter()
            held_out.score(alone)
            times.append((between - started, time.perf_counter() - between))
        rows.append(
            {
                "measured": "scoring a slice, milliseconds",
                "candidate": index,
                "with everything": round(1000 * statistics.median(t for t, _ in times), 1),
                "a network of its own": round(1000 * statistics.median(a for _, a in times), 1),
                "more": round(1000 * statistics.median(t - a for t, a in times), 1),
            }
        )
    more = [row["more"] for row in rows]
    rows.append(
        {
            "measured": "scoring, milliseconds over the forward passes",
            "held-out examples": len(held_out),
            "median": round(statistics.median(more), 1),
            "largest": max(more),
            "graphs traced meanwhile": evaluator.traces - traces,
        }
    )
    return rows


if __name__ == "__main__":
    app.run(main)
