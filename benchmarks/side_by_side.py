"""Measures training steps per second of plain students, alone and side by side.

    TF_NUM_INTRAOP_THREADS=1 python -m benchmarks.side_by_side
    TF_NUM_INTRAOP_THREADS=2 python -m benchmarks.side_by_side

Students start from the pretrained supernet and learn random hidden states on random tokens: what a
step costs does not depend on the values. Prints the medians of five rounds.
"""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from tf_efficientbert.data.batching import MODEL_INPUTS
from tf_efficientbert.distillation.inheritance import inherit
from tf_efficientbert.distillation.losses import hidden_loss
from tf_efficientbert.distillation.student_architecture import resolve_architecture
from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.models.pretrained_supernet import load_supernet
from tf_efficientbert.training.optimizer import build_optimizer
from tf_efficientbert.training.options import make_deterministic
from tf_efficientbert.training.step import TrainingStep

_STUDENTS = flags.DEFINE_integer("students", 3, "students side by side")
_BFLOAT16 = flags.DEFINE_bool("bfloat16", True, "compute in bfloat16, keep weights in float32")
_DROPOUT = flags.DEFINE_float("dropout", 0.0, "dropout rate")
_BATCH, _TOKENS, _STEPS, _ROUNDS = 32, 24, 10, 5


def main(_) -> None:
    make_deterministic()
    keras.utils.set_random_seed(0)
    supernet = load_supernet("pretrained").backbone
    steps, batch = [_step(supernet) for _ in range(_STUDENTS.value)], _batch(supernet)
    with ThreadPoolExecutor(len(steps)) as pool:
        for together in (1, len(steps)):
            rates = []
            for number in range(_ROUNDS + 1):
                began = time.perf_counter()
                list(pool.map(lambda step: _take(step, batch), steps[:together]))
                if number:  # the first round traces
                    rates.append(together * _STEPS / (time.perf_counter() - began))
            median = statistics.median(rates)
            print(f"{together} students: {median:.1f} steps per second", flush=True)


def _step(supernet: EfficientBert) -> TrainingStep:
    architecture = resolve_architecture("plain", supernet.architecture)
    student = EfficientBert(
        architecture,
        vocabulary_size=supernet.vocabulary_size,
        max_positions=supernet.max_positions,
        fit_size=supernet.fit_size,
        dropout=_DROPOUT.value,
        dtype="mixed_bfloat16" if _BFLOAT16.value else "float32",
    )
    inherit(student, supernet)

    def losses(batch, seed):
        inputs = {name: batch[name] for name in MODEL_INPUTS}
        ours = student(inputs, training=True, dropout_seed=seed)["hidden_states"]
        return {"loss": hidden_loss(tf.unstack(batch["states"], num=len(ours), axis=2), ours)}

    variables = student.trainable_variables
    return TrainingStep(
        variables=variables,
        loss_fn=losses,
        optimizer=build_optimizer(variables, 1e-4, total_steps=None),
        strategy=tf.distribute.get_strategy(),
        seed=0,
    )


def _batch(supernet: EfficientBert) -> dict[str, np.ndarray]:
    draws, shape = np.random.default_rng(0), (_BATCH, _TOKENS)
    states = supernet.architecture.num_layers + 1, supernet.fit_size
    return {
        "token_ids": draws.integers(1, supernet.vocabulary_size, shape, np.int32),
        "segment_ids": np.zeros(shape, np.int32),
        "padding_mask": np.ones(shape, np.int32),
        "states": draws.normal(size=(*shape, *states)).astype(np.float32),
    }


def _take(step: TrainingStep, batch: dict[str, np.ndarray]) -> None:
    for number in range(_STEPS):
        step(batch, number)


if __name__ == "__main__":
    app.run(main)
