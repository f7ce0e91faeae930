"""A network's weights as two long vectors."""

import math

import keras
import tensorflow as tf

from tf_efficientbert.training.optimizer import is_decayed

__all__ = ["FlatWeights"]


class FlatWeights:
    """The trainable weights of a network, end to end, in a vector that is decayed and one not.

    An optimizer's update is then traced for two variables instead of some 150, which is most of the
    time that it takes to trace a candidate's training step.

    Args:
        model: Keras model; the vectors start with its weights and are its weights in `scope`.
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
        """Within it, calls of the model read their weights from the vectors."""
        mapping = []
        for part, vector in zip(self._parts, self.variables, strict=True):
            pieces = tf.split(vector.value, [math.prod(v.shape) for v in part])
            mapping += [(v, tf.reshape(p, v.shape)) for v, p in zip(part, pieces, strict=True)]
        return keras.StatelessScope(state_mapping=mapping)

    def write_back(self) -> None:
        """Gives the model the vectors' present values for its own."""
        with self.scope() as scope:
            values = [(v, scope.get_current_value(v)) for part in self._parts for v in part]
        for variable, value in values:
            variable.assign(value)
