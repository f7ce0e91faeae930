"""The head for tasks whose answer is a span of the text."""

import keras

from tf_efficientbert.tasks.pooled_head import dense

__all__ = ["SpanHead"]


@keras.saving.register_keras_serializable(package="tf_efficientbert")
class SpanHead(keras.layers.Layer):
    """Dense(2) on each token: where an answer starts and ends (SQuAD).

    Args:
        hidden_size: int, d.
    """

    reads_first_token = False

    def __init__(self, hidden_size: int, **kwargs):
        super().__init__(**kwargs)
        self.classifier = dense(2, "classifier", "float32")
        self.hidden_size = hidden_size

    def build(self, input_shape=None):
        self.classifier.build((None, None, self.hidden_size))

    def call(self, sequence_output, dropout_seed=None, training=False):
        """Maps [batch, tokens, d] to {"start_logits", "end_logits"}, each [batch, tokens]."""
        logits = self.classifier(sequence_output)
        return {"start_logits": logits[..., 0], "end_logits": logits[..., 1]}

    def get_config(self):
        return {**super().get_config(), "hidden_size": self.hidden_size}
