"""Trains on one device, then on two, and saves the results.

This is a separate program because logical CPUs must be configured before TensorFlow initializes.

    python -m tests.training.two_replicas FOLDER
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from tests.models.small_models import random_inputs
from tests.training.tiny_training import tiny_objective, tiny_pair
from tf_efficientbert.data.batching import MODEL_INPUTS
from tf_efficientbert.distillation.teacher_pass import TeacherPass
from tf_efficientbert.training.checkpoints import Checkpoints
from tf_efficientbert.training.optimizer import build_optimizer
from tf_efficientbert.training.options import make_deterministic
from tf_efficientbert.training.step import TrainingStep
from tf_efficientbert.training.strategy import make_strategy

# The halves of a batch differ in length, so that one replica has more padding.
BATCHES = ((9, 9, 7, 2, 1, 3), (4, 2), (5, 6, 3, 1), (15, 2, 2, 2), (8, 8, 7, 8))


def train(strategy_name: str, real_tokens_only: bool, folder: str) -> None:
    strategy = make_strategy(strategy_name)
    with strategy.scope():
        teacher, student = tiny_pair(dropout=0.0)
        optimizer = build_optimizer(student.trainable_variables, 1e-2, 2 * len(BATCHES))
    before = [weight.numpy() for weight in student.weights]
    objective, traces = tiny_objective(real_tokens_only=real_tokens_only), []
    teacher_pass = TeacherPass(teacher, objective.teacher_reads)

    def loss_fn(batch, seed):
        traces.append(None)  # Python runs only while tracing, once per replica
        inputs = {name: batch[name] for name in MODEL_INPUTS}
        outputs = student(inputs, training=True, dropout_seed=seed)
        return objective.compare(teacher_pass.in_graph(batch), outputs, batch)

    step = TrainingStep(
        variables=student.trainable_variables,
        loss_fn=loss_fn,
        optimizer=optimizer,
        strategy=strategy,
        seed=0,
    )
    records = [step(random_inputs(lengths, seed=n), n) for n, lengths in enumerate(BATCHES)]
    name = f"{folder}/{strategy_name}_{'real' if real_tokens_only else 'all'}"
    Checkpoints(f"{name}_checkpoints", model=student, optimizer=optimizer).save(1, records)
    np.savez(
        f"{name}.npz",
        replicas=strategy.num_replicas_in_sync,
        traces=len(traces) / strategy.num_replicas_in_sync,
        losses=[record["loss"] for record in records],
        norms=[record["gradient_norm"] for record in records],
        before=np.concatenate([value.ravel() for value in before]),
        weights=np.concatenate([weight.numpy().ravel() for weight in student.weights]),
    )


def main() -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    make_deterministic()
    keras.utils.set_random_seed(0)
    for strategy in ("default", "mirrored"):
        for real_tokens_only in (False, True):
            train(strategy, real_tokens_only, sys.argv[1])


if __name__ == "__main__":
    main()
