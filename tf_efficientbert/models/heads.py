"""Task heads: what turns the encoder's output into logits."""

import keras
from keras import ops

from tf_efficientbert.layers.dropout import Dropout
from tf_efficientbert.layers.linear import Linear


def _dense(units, name, dtype):
    initializer = keras.initializers.TruncatedNormal(stddev=0.02)
    return Linear(units, kernel_initializer=initializer, dtype=dtype, name=name)


@keras.saving.register_keras_serializable(package="tf_efficientbert")
class ClassificationHead(keras.layers.Layer):
    """Dense(d) + tanh on [CLS], dropout, Dense(num_outputs); a regression has one output.

    Args:
        hidden_size: int, d.
        num_outputs: int, the number of classes, or 1.
        dropout: float.
    """

    def __init__(self, hidden_size: int, num_outputs: int, dropout: float = 0.1, **kwargs):
        super().__init__(**kwargs)
        self.pooler = _dense(hidden_size, "pooler", self.dtype_policy)
        # Logits in float32: losses and arg-max need the bits.
        self.classifier = _dense(num_outputs, "classifier", "float32")
        self.dropout_layer = Dropout(dropout, dtype=self.dtype_policy, name="dropout")
        self.hidden_size = hidden_size
        self.num_outputs = num_outputs
        self.dropout = dropout

    def build(self, input_shape=None):
        self.pooler.build((None, self.hidden_size))
        self.classifier.build((None, self.hidden_size))

    def call(self, sequence_output, dropout_seed=None, training=False):
        """[batch, tokens, d] to {"logits": [batch, num_outputs], or [batch] for one output}."""
        pooled = ops.tanh(self.pooler(sequence_output[:, 0]))
        pooled = self.dropout_layer(pooled, dropout_seed, training=training)
        logits = self.classifier(pooled)
        return {"logits": ops.squeeze(logits, -1) if self.num_outputs == 1 else logits}

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_size": self.hidden_size,
            "num_outputs": self.num_outputs,
            "dropout": self.dropout,
        }


@keras.saving.register_keras_serializable(package="tf_efficientbert")
class SpanHead(keras.layers.Layer):
    """Dense(2) on each token: where an answer starts and ends (SQuAD).

    Args:
        hidden_size: int, d.
    """

    def __init__(self, hidden_size: int, **kwargs):
        super().__init__(**kwargs)
        self.classifier = _dense(2, "classifier", "float32")
        self.hidden_size = hidden_size

    def build(self, input_shape=None):
        self.classifier.build((None, None, self.hidden_size))

    def call(self, sequence_output, dropout_seed=None, training=False):
        """[batch, tokens, d] to {"start_logits", "end_logits"}, each [batch, tokens]."""
        logits = self.classifier(sequence_output)
        return {"start_logits": logits[..., 0], "end_logits": logits[..., 1]}

    def get_config(self):
        return {**super().get_config(), "hidden_size": self.hidden_size}
