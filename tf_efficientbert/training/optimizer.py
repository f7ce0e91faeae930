"""AdamW as BERT-like models are trained with it."""

import keras

from tf_efficientbert.training.schedule import LinearWarmupDecay

_NOT_DECAYED = ("bias", "bias_1", "bias_2", "gamma", "beta")


def build_optimizer(
    variables, learning_rate: float, total_steps: int, weight_decay: float = 0.01
) -> keras.optimizers.AdamW:
    """AdamW with warm-up and linear decay; biases and LayerNorm weights are not decayed.

    It is built on `variables` at once: under `tf.distribute` call this in the strategy's scope.
    """
    optimizer = keras.optimizers.AdamW(
        LinearWarmupDecay(learning_rate, total_steps), weight_decay=weight_decay
    )
    optimizer.exclude_from_weight_decay(var_list=[v for v in variables if v.name in _NOT_DECAYED])
    optimizer.build(variables)
    return optimizer
