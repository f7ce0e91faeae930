"""AdamW with the usual settings for BERT-like models."""

import keras
import tensorflow as tf

from tf_efficientbert.training.schedule import LinearWarmupDecay

__all__ = ["FusedAdamW", "apply_gradients", "build_optimizer", "is_decayed"]

_EPSILON = 1e-8  # the reference's, and PyTorch's default; Keras' is 1e-7
_NOT_DECAYED = ("bias", "bias_1", "bias_2", "gamma", "beta")


def is_decayed(variable) -> bool:
    """Returns whether weight decay applies: not to biases and LayerNorm weights."""
    return variable.name not in _NOT_DECAYED


class FusedAdamW(keras.optimizers.AdamW):
    """Keras' AdamW with TensorFlow's fused kernel: one operation per variable, not a dozen.

    The formula is the same.
    """

    def update_step(self, gradient, variable, learning_rate):
        """As in `keras.optimizers.Adam`; `variable` is a tf.Variable."""
        index, dtype = self._get_variable_index(variable), variable.dtype
        step = tf.cast(self.iterations.value + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.constant(self.beta_1, dtype) ** step,
            beta2_power=tf.constant(self.beta_2, dtype) ** step,
            lr=tf.cast(learning_rate, dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


def build_optimizer(
    variables, learning_rate: float, total_steps: int | None, weight_decay: float = 0.01
) -> keras.optimizers.AdamW:
    """Returns AdamW with warm-up and linear decay, without weight decay on biases and LayerNorms.

    The optimizer is built on `variables`; with `tf.distribute`, call this in the strategy's scope.

    Args:
        learning_rate: the peak.
        total_steps: None for a constant rate, for callers that set it before each step.
    """
    rate = LinearWarmupDecay(learning_rate, total_steps) if total_steps else learning_rate
    optimizer = FusedAdamW(rate, weight_decay=weight_decay, epsilon=_EPSILON)
    optimizer.exclude_from_weight_decay(var_list=[v for v in variables if not is_decayed(v)])
    optimizer.build(variables)
    return optimizer


def apply_gradients(
    optimizer: keras.optimizers.Optimizer, gradients: list, variables: list
) -> None:
    """Updates the variables with gradients that are already summed over the replicas.

    In replica context, Keras would sum them with a custom gradient. TensorFlow never unregisters
    it, so the graph and its network would stay in memory.
    """
    replica = tf.distribute.get_replica_context()
    if replica is None:
        optimizer.apply(gradients, variables)
    else:
        replica.merge_call(lambda _, sums: optimizer.apply(sums, variables), args=(gradients,))
