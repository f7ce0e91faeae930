"""Trains a model: combines batches, optimizer, step and outer loop."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from tf_efficientbert.data.batching import TrainingBatches
from tf_efficientbert.errors import UserError
from tf_efficientbert.training.loop import train
from tf_efficientbert.training.optimizer import build_optimizer
from tf_efficientbert.training.options import TrainingOptions
from tf_efficientbert.training.progress import TrainingProgress
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
    progress: TrainingProgress | None = None,
) -> list[dict]:
    """Trains `model`, created in the scope of `strategy`; resumes an interrupted training.

    Args:
        loss_fn: (batch, dropout_seed) -> {"loss": scalar, ...}.
        batches: batches[k] is the batch of step k.
        run: the job's directory.
        phase: label of the training, unique among the job's trainings.
        evaluate: called after each epoch; its figures are added to the history.
        after_step: called with the number of steps taken after each update of the weights.
        state: variables that `after_step` changes besides the weights; saved in checkpoints.
        progress: see `loop.train`.

    Returns: the history, see `loop.train`.

    Raises:
        UserError: the batch size is not a multiple of the number of replicas.
        DivergedError, TrainingCancelled: see `loop.train`.
    """
    replicas = strategy.num_replicas_in_sync
    if batches.batch_size % replicas:
        raise UserError(
            f"--batch_size={batches.batch_size} is not a multiple of the {replicas} devices of "
            f"--strategy={options.strategy}"
        )
    total_steps = count_steps(options.epochs, batches)
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
        progress=progress,
    )


def count_steps(epochs: float, batches: TrainingBatches) -> int:
    """Returns the number of steps of `epochs` passes over the batches."""
    return max(1, round(epochs * batches.steps_per_epoch))
