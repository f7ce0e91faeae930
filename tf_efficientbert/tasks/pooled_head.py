"""The head for tasks with one output for a whole text."""

import keras
from keras import ops

from tf_efficientbert.layers.dropout import Dropout
from tf_efficientbert.layers.linear import Linear

__all__ = ["ClassificationHead", "dense"]


def dense(units: int, name: str, dtype) -> Linear:
    """Returns a dense layer for a head, initialized as in BERT."""
    initializer = keras.initializers.TruncatedNormal(stddev=0.02)
    return Linear(units, kernel_initializer=initializer, dtype=dtype, name=name)


@keras.saving.register_keras_serializable(package="tf_efficientbert")
class ClassificationHead(keras.layers.Layer):
    """Dense(d) + tanh on [CLS], dropout, Dense(num_outputs).

    Classification and multi-label tasks have one output per class, a regression has one.

    Args:
        hidden_size: int, d.
        num_outputs: int, the number of classes, or 1.
        dropout: float.
    """

    reads_first_token = True  # only: an inference graph may skip the other tokens

    def __init__(self, hidden_size: int, num_outputs: int, dropout: float = 0.1, **kwargs):
        super().__init__(**kwargs)
        self.pooler = dense(hidden_size, "pooler", self.dtype_policy)
        # Logits in float32: losses and arg-max need the precision.
        self.classifier = dense(num_outputs, "classifier", "float32")
        self.dropout_layer = Dropout(dropout, dtype=self.dtype_policy, name="dropout")
        self.hidden_size = hidden_size
        self.num_outputs = num_outputs
        self.dropout = dropout

    def build(self, input_shape=None):
        self.pooler.build((None, self.hidden_size))
        self.classifier.build((None, self.hidden_size))

    def call(self, sequence_output, dropout_seed=None, training=False):
        """Maps [batch, tokens, d] to {"logits": [batch, num_outputs], or [batch] for one}."""
        pooled = ops.tanh(self.pooler(sequence_output[:, 0]))
        pooled = self.dropout_layer(pooled, dropout_seed, training=training)
        return {"logits": self.squeezed(self.classifier(pooled))}

    def squeezed(self, logits):
        """Returns [batch, num_outputs] unchanged, or [batch] for one output."""
        return ops.squeeze(logits, -1) if self.num_outputs == 1 else logits

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_size": self.hidden_size,
            "num_outputs": self.num_outputs,
            "dropout": self.dropout,
        }
