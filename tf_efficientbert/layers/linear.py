"""Linear maps whose inputs can be rounded during training."""

import keras

from tf_efficientbert.layers.rounding import RoundingPoint

linear_input = RoundingPoint("linear_input")  # of every linear map, [..., d]


@keras.saving.register_keras_serializable(package="tf_efficientbert")
class Linear(keras.layers.Dense):
    """x @ kernel + bias on the last axis; takes the arguments of Keras' Dense."""

    def call(self, inputs, training=None):
        return super().call(linear_input(inputs), training=training)
