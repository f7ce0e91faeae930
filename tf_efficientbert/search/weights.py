"""A network's weights as two flat vectors."""

import math

import keras
import tensorflow as tf

from tf_efficientbert.training.optimizer import is_decayed

__all__ = ["FlatWeights"]


class FlatWeights:
    """The trainable weights of a network, concatenated in two vectors: with and without decay.

    The optimizer's update is then traced for two variables instead of about 150, which took most of
    the time to trace a candidate's training step.

    Args:
        model: Keras model; the vectors start with its weights and replace them in `scope`.
    """

    def __init__(self, model: keras.Model):
        variables = model.trainable_variables
        self._parts = [
            [v for v in variables if is_decayed(v)],
            [v for v in variables if not is_decayed(v)],
        ]
        self.variables = [
            keras.Variable(tf.concat([tf.reshape(v.value, [-1]) for v in part], 0), name=name)
            for part, name in zip(self._parts, ("kernel", "bias"), strict=True)
        ]

    def scope(self) -> keras.StatelessScope:
        """Returns a scope in which the model reads its weights from the vectors."""
        mapping = []
        for part, vector in zip(self._parts, self.variables, strict=True):
            pieces = tf.split(vector.value, [math.prod(v.shape) for v in part])
            mapping += [(v, tf.reshape(p, v.shape)) for v, p in zip(part, pieces, strict=True)]
        return keras.StatelessScope(state_mapping=mapping)

    def write_back(self) -> None:
        """Copies the vectors' current values into the model's variables."""
        with self.scope() as scope:
            values = [(v, scope.get_current_value(v)) for part in self._parts for v in part]
        for variable, value in values:
            variable.assign(value)
