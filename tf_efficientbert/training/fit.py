"""One training from data to weights: batches, optimizer, step and outer loop put together."""

from collections.abc import Callable, Sequence

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
    after_step: Callable[[int], None] | None = None,
    state: Sequence[tf.Variable] = (),
) -> list[dict]:
    """Trains `model`, made in `strategy`'s scope, going on where it was interrupted.

    Args:
        loss_fn: (batch, dropout_seed) -> {"loss": scalar, ...}.
        batches: what step k trains on is batches[k].
        run: the job's directory.
        phase: what the progress bar says; the job's trainings have different ones.
        evaluate: called after each epoch; its figures go into the history.
        after_step: called after each update of the weights with the number of steps taken.
        state: what it changes besides the weights, and a checkpoint must hold.

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
    total_steps = count_steps(options, batches)
    with strategy.scope():
        optimizer = build_optimizer(
            model.trainable_variables, options.learning_rate, total_steps, options.weight_decay
        )
    update = TrainingStep(
        variables=model.trainable_variables,
        loss_fn=loss_fn,
        optimizer=optimizer,
        strategy=strategy,
        seed=options.seed,
        clip_norm=options.clip_norm,
    )

    def step_fn(batch, step):
        losses = update(batch, step)
        if after_step:
            after_step(step + 1)
        return losses

    return train(
        name=phase,
        step_fn=step_fn,
        batches=batches,
        total_steps=total_steps,
        folder=run.checkpoints / phase.replace(" ", "_"),
        trackables={"model": model, "optimizer": optimizer, **({"state": state} if state else {})},
        evaluate=evaluate,
        evaluate_every=batches.steps_per_epoch,
        checkpoint_seconds=options.checkpoint_seconds,
        on_checkpoint=run.save_clock,
    )


def count_steps(options: TrainingOptions, batches: TrainingBatches) -> int:
    """How many steps `fit` takes."""
    return max(1, round(options.epochs * batches.steps_per_epoch))
