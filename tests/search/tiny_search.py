"""A search context that trains in seconds: two layers of width 24, random tokens."""

import dataclasses

import numpy as np

from tests.models.small_models import small_architecture, small_backbone, small_task_model
from tests.models.small_text_models import TASKS, random_labels
from tests.training.tiny_training import tiny_examples
from tf_efficientbert.architecture import Architecture
from tf_efficientbert.distillation.inheritance import new_student
from tf_efficientbert.distillation.recipes import Recipe
from tf_efficientbert.distillation.teacher_pass import TeacherPass
from tf_efficientbert.search.context import SearchContext
from tf_efficientbert.search.examples import SearchExamples
from tf_efficientbert.search.learner import Learner
from tf_efficientbert.search.stages import Stage, Training
from tf_efficientbert.training.options import make_deterministic

ORDINARY = "linear1_1(gelu(linear1_1(x,wb1)),wb2)"
# The second layer's x is cut to the inner width, which fits only at 1/3 and 1/4 of 54.
WIDE = {"hidden_size": 24, "ffn_width": 54}
FORMULAS = ("tanh(linear2_2(gelu(linear2_2(x,wb1)),wb2))", "linear1_4(mul(linear1_4(x,wb1),x),wb2)")
TEXT_STEPS, TASK_STEPS = 3, 6  # two epochs of three batches


def tiny_stage(name="tiny", searched=("formula",), **training) -> Stage:
    """A stage with 12 sentences and 12 examples to train on, and four to score with."""
    values = {
        "text_share": 0.5,
        "text_epochs": 1.0,
        "text_learning_rate": 1e-3,
        "task_share": 1.0,
        "task_epochs": 2.0,
        "task_learning_rate": 3e-3,
        "batch_size": 4,
    }
    return Stage(
        name=name,
        searched=searched,
        candidates=4,
        random_candidates=2,
        refit_every=2,
        exploration=1.0,
        tuning_rounds=0,
        max_draws=50,
        held_out=0.25,
        training=Training(**{**values, **training}),
    )


def tiny_context(
    kind="classification", dropout=0.1, teacher_memory_gb=0.0, **recipe
) -> SearchContext:
    """A context for "classification" or "multilabel" with three classes, or "regression".

    Args:
        recipe: see `Recipe`; by default padding is left out.
    """
    make_deterministic()
    task = TASKS[kind]
    sizes = small_architecture((ORDINARY,) * 2, **WIDE)
    teacher = small_task_model(kind, sizes, seed=50)
    labels = random_labels(task, np.random.default_rng(9), 16)
    train = dataclasses.replace(tiny_examples(16), labels=labels)
    recipe = Recipe(**{"real_tokens_only": True, **recipe})
    objective = recipe.objective(sizes, sizes, task)
    reads = objective.teacher_reads
    return SearchContext(
        task=task,
        examples=SearchExamples(
            text=tiny_examples(24), train=train, for_distillation=train, task=task, seed=3
        ),
        supernet=small_backbone(sizes.supernet(), seed=7, fit_size=24),
        text_teacher=TeacherPass(
            teacher.backbone, [name for name in reads if name not in task.output_names]
        ),
        task_teacher=TeacherPass(teacher, reads),
        objective=objective,
        dropout=dropout,
        dtype="float32",
        seed=3,
        checkpoint_seconds=1e9,
        teacher_memory_gb=teacher_memory_gb,
        group_size=4,
    )


def with_learners(context: SearchContext, kind: type[Learner]) -> SearchContext:
    """Returns the context with another class of learners, e.g. ones that fail."""

    class _Context(SearchContext):
        def learner(self, architecture, seed, chooses=False):
            student = new_student(architecture, self.supernet, self.task, self.dropout, self.dtype)
            return kind(student, self.objective, seed, self.task, self.teacher_specs, chooses)

    fields = dataclasses.fields(context)
    return _Context(**{field.name: getattr(context, field.name) for field in fields})


def tiny_candidate(formulas=FORMULAS) -> Architecture:
    return small_architecture(formulas, **WIDE)
