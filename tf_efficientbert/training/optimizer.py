"""AdamW as BERT-like models are trained with it."""

import keras
import tensorflow as tf

from tf_efficientbert.training.schedule import LinearWarmupDecay

_NOT_DECAYED = ("bias", "bias_1", "bias_2", "gamma", "beta")


def is_decayed(variable) -> bool:
    """Whether weight decay applies: to everything but biases and LayerNorm weights."""
    return variable.name not in _NOT_DECAYED


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
    optimizer = keras.optimizers.AdamW(rate, weight_decay=weight_decay)
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
