"""One optimizer step under any tf.distribute strategy."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_efficientbert.training.optimizer import apply_gradients


class TrainingStep:
    """Computes the gradient over the global batch, clips its global norm and updates the weights.

    Gradients are summed over the replicas before clipping; Keras' `clipnorm` would clip the
    gradient of each replica.

    Args:
        variables: the variables to train.
        loss_fn: (batch, dropout_seed) -> {"loss": scalar, ...}, means over the given batch.
        optimizer: built on `variables` in the strategy's scope.
        strategy: tf.distribute.Strategy.
        seed: int, seed of all dropout masks.
        clip_norm: float, the largest global norm of a gradient.
    """

    def __init__(
        self,
        *,
        variables: list,
        loss_fn: Callable,
        optimizer,
        strategy: tf.distribute.Strategy,
        seed: int,
        clip_norm: float = 1.0,
    ):
        self._variables = variables
        self._loss_fn = loss_fn
        self._optimizer = optimizer
        self._strategy = strategy
        self._seed = seed
        self._clip_norm = clip_norm
        self._compiled = None

    def __call__(self, batch: dict[str, np.ndarray], step: int) -> dict[str, float]:
        """Takes step number `step` on a global batch and returns the losses.

        Raises:
            ValueError: the batch size is not a multiple of the number of replicas.
        """
        replicas = self._strategy.num_replicas_in_sync
        size = len(batch["token_ids"])
        if size % replicas:
            raise ValueError(f"a batch of {size} cannot be split evenly among {replicas} replicas")
        if self._compiled is None:
            self._compiled = self._compile(batch)
        losses = self._compiled(self._distributed(batch, size // replicas), tf.constant(step))
        return {name: float(value) for name, value in losses.items()}

    def _compile(self, batch):
        if self._strategy.num_replicas_in_sync > 1:  # per-replica values take no signature
            return tf.function(self._step, reduce_retracing=True, autograph=False)
        # Leave batch size and length open from the start, for one trace instead of two.
        shapes = {
            name: tf.TensorSpec([*[None, None][: array.ndim], *array.shape[2:]], array.dtype)
            for name, array in batch.items()
        }
        signature = [shapes, tf.TensorSpec([], tf.int32)]
        return tf.function(self._step, input_signature=signature, autograph=False)

    def _distributed(self, batch, share: int):
        if self._strategy.num_replicas_in_sync == 1:
            return {name: tf.constant(array) for name, array in batch.items()}

        def part(context):
            start = context.replica_id_in_sync_group * share
            return {name: tf.constant(a[start : start + share]) for name, a in batch.items()}

        return self._strategy.experimental_distribute_values_from_function(part)

    def _step(self, batch, step):
        def replica_gradient(batch):
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            dropout_seed = tf.stack([self._seed + 7919 * replica, step])
            with tf.GradientTape() as tape:
                losses = self._loss_fn(batch, dropout_seed)
                share = losses["loss"] / self._strategy.num_replicas_in_sync
            gradients = tape.gradient(
                share,
                [v.value for v in self._variables],
                # If a loss term has ratio 0, the head or the fit projection has no gradient.
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            return losses, [tf.convert_to_tensor(gradient) for gradient in gradients]

        losses, gradients = self._strategy.run(replica_gradient, args=(batch,))
        total = tf.distribute.ReduceOp.SUM
        gradients = [self._strategy.reduce(total, g, axis=None) for g in gradients]
        gradients, norm = tf.clip_by_global_norm(gradients, self._clip_norm)
        apply_gradients(self._optimizer, gradients, self._variables)
        mean = tf.distribute.ReduceOp.MEAN
        losses = {k: self._strategy.reduce(mean, v, axis=None) for k, v in losses.items()}
        return {**losses, "gradient_norm": norm}
