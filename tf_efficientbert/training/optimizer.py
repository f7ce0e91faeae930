"""AdamW as BERT-like models are trained with it."""

import keras
import tensorflow as tf

from tf_efficientbert.training.schedule import LinearWarmupDecay

__all__ = ["FusedAdamW", "apply_gradients", "build_optimizer", "is_decayed"]

_NOT_DECAYED = ("bias", "bias_1", "bias_2", "gamma", "beta")


def is_decayed(variable) -> bool:
    """Whether weight decay applies: to everything but biases and LayerNorm weights."""
    return variable.name not in _NOT_DECAYED


class FusedAdamW(keras.optimizers.AdamW):
    """Keras' AdamW with TensorFlow's own kernel for the update of a variable.

    The formula is the same; a variable's update is one operation instead of a dozen.
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
    """AdamW with warm-up and linear decay; biases and LayerNorm weights are not decayed.

    It is built on `variables` at once: under `tf.distribute` call this in the strategy's scope.

    Args:
        learning_rate: the peak.
        total_steps: None leaves the rate as it is, for whoever sets it before each step.
    """
    rate = LinearWarmupDecay(learning_rate, total_steps) if total_steps else learning_rate
    optimizer = FusedAdamW(rate, weight_decay=weight_decay)
    optimizer.exclude_from_weight_decay(var_list=[v for v in variables if not is_decayed(v)])
    optimizer.build(variables)
    return optimizer


def apply_gradients(
    optimizer: keras.optimizers.Optimizer, gradients: list, variables: list
) -> None:
    """Updates the variables by gradients that are summed over the replicas already.

    In replica context Keras would sum them itself, by a custom gradient whose registration
    TensorFlow never drops: the graph, and with it its network, would stay in memory for good.
    """
    replica = tf.distribute.get_replica_context()
    if replica is None:
        optimizer.apply(gradients, variables)
    else:
        replica.merge_call(lambda _, sums: optimizer.apply(sums, variables), args=(gradients,))
