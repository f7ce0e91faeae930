"""One training from data to weights: batches, optimizer, step and outer loop put together."""

from collections.abc import Callable

import tensorflow as tf

from tf_efficientbert.data.batching import TrainingBatches
from tf_efficientbert.errors import UserError
from tf_efficientbert.training.loop import train
from tf_efficientbert.training.optimizer import build_optimizer
from tf_efficientbert.training.options import TrainingOptions
from tf_efficientbert.training.run_directory import RunDirectory
from tf_efficientbert.training.step import TrainingStep


def fit(
    *,
    model,
    loss_fn: Callable,
    batches: TrainingBatches,
    options: TrainingOptions,
    strategy: tf.distribute.Strategy,
    run: RunDirectory,
    phase: str,
    evaluate: Callable[[], dict[str, float]] | None = None,
) -> list[dict]:
    """Trains `model`, made in `strategy`'s scope, going on where it was interrupted.

    Args:
        loss_fn: (batch, dropout_seed) -> {"loss": scalar, ...}.
        batches: what step k trains on is batches[k].
        run: the job's directory.
        phase: what the progress bar says; the job's trainings have different ones.
        evaluate: called after each epoch; its figures go into the history.

    Returns: the history, see `loop.train`.

    Raises:
        UserError: the batch does not divide among the replicas.
        DivergedError: see `loop.train`.
    """
    replicas = strategy.num_replicas_in_sync
    if batches.batch_size % replicas:
        raise UserError(
            f"--batch_size={batches.batch_size} does not divide among the {replicas} devices of "
            f"--strategy={options.strategy}"
        )
    total_steps = max(1, round(options.epochs * batches.steps_per_epoch))
    with strategy.scope():
        optimizer = build_optimizer(
            model.trainable_variables, options.learning_rate, total_steps, options.weight_decay
        )
    step_fn = TrainingStep(
        variables=model.trainable_variables,
        loss_fn=loss_fn,
        optimizer=optimizer,
        strategy=strategy,
        seed=options.seed,
        clip_norm=options.clip_norm,
    )
    return train(
        name=phase,
        step_fn=step_fn,
        batches=batches,
        total_steps=total_steps,
        folder=run.checkpoints / phase.replace(" ", "_"),
        trackables={"model": model, "optimizer": optimizer},
        evaluate=evaluate,
        evaluate_every=batches.steps_per_epoch,
        checkpoint_seconds=options.checkpoint_seconds,
        on_checkpoint=run.save_clock,
    )
