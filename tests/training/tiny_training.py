"""A training of seconds: distils a small teacher into a small student on random tokens."""

import dataclasses
from contextlib import nullcontext

import keras
import numpy as np
import tensorflow as tf

from tests.models.small_models import (
    FORMULAS,
    VOCABULARY_SIZE,
    small_architecture,
    small_task_model,
)
from tests.models.small_text_models import TASKS
from tf_efficientbert.data.batching import EncodedExamples, TrainingBatches
from tf_efficientbert.distillation.objective import Objective
from tf_efficientbert.distillation.recipes import Recipe
from tf_efficientbert.options import option
from tf_efficientbert.training.fit import fit
from tf_efficientbert.training.options import TrainingOptions, make_deterministic
from tf_efficientbert.training.run_directory import open_run_directory

STEPS = 7  # two epochs of three batches and one more step


@dataclasses.dataclass(frozen=True, kw_only=True)
class TinyOptions(TrainingOptions):
    output_dir: str = option("", "where it goes")
    epochs: float = STEPS / 3
    batch_size: int = 4
    learning_rate: float = 3e-3


def tiny_examples(count: int = 12) -> EncodedExamples:
    """Returns sentences of 2 to 15 random tokens."""
    draws = np.random.default_rng(3)
    offsets = np.concatenate([[0], np.cumsum(draws.integers(2, 16, count))])
    token_ids = draws.integers(1, VOCABULARY_SIZE, offsets[-1]).astype(np.int32)
    return EncodedExamples(token_ids, np.zeros_like(token_ids), offsets)


def tiny_objective(**recipe) -> Objective:
    """The objective of `tiny_pair` on a classification."""
    architecture = small_architecture(FORMULAS[:2])
    return Recipe(**recipe).objective(architecture, architecture, TASKS["classification"])


def tiny_pair(seed: int = 0, dropout: float = 0.1, dtype: str = "float32"):
    """Returns (teacher, student), both with two layers, width 24 and equally many heads."""
    architecture = small_architecture(FORMULAS[:2])
    ordinary = architecture.with_ordinary_cells()
    teacher = small_task_model(architecture=ordinary, seed=50, dtype=dtype)
    student = small_task_model(architecture=architecture, seed=seed, fit_size=24, dtype=dtype)
    return teacher, student.rebuilt(dropout=dropout)


def tiny_fit(options: TinyOptions, seed: int = 0, evaluate=None, progress=None, while_built=None):
    """Trains with `options`; `seed` determines the student's initial weights.

    Args:
        while_built: context in which the networks are built, such as a lock; None for none.

    Returns: (history, the student's weights).
    """
    make_deterministic()
    with while_built or nullcontext():
        keras.utils.set_random_seed(options.seed)
        teacher, student = tiny_pair(seed, options.dropout, options.dtype)
    objective = tiny_objective(real_tokens_only=True)
    with open_run_directory(options) as run:
        history = fit(
            model=student,
            loss_fn=lambda batch, seed: objective.losses(teacher, student, batch, seed),
            batches=TrainingBatches(tiny_examples(), options.batch_size, options.seed),
            options=options,
            strategy=tf.distribute.get_strategy(),
            run=run,
            phase="tiny",
            evaluate=evaluate,
            progress=progress,
        )
    return history, [weight.numpy() for weight in student.weights]
