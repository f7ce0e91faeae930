"""One feed-forward network of a cell."""

import functools

import keras
from keras import ops

from tf_efficientbert.architecture.expression import Expression
from tf_efficientbert.layers.dropout import Dropout
from tf_efficientbert.layers.formula import evaluate
from tf_efficientbert.layers.layer_norm import layer_norm


@keras.saving.register_keras_serializable(package="tf_efficientbert")
class FeedForward(keras.layers.Layer):
    """x <- LayerNorm(x + Dropout(f(x, W1, W2))) with sliceable weights.

    Args:
        hidden_size: int, width d of input and output.
        inner_width: int, columns of W1 and rows of W2.
        channel_mismatch, exact_gelu: see `formula.evaluate`.
        dropout: float, rate on the formula's value.
        layer_norm_epsilon: float.
    """

    def __init__(
        self,
        hidden_size: int,
        inner_width: int,
        channel_mismatch: str = "slice",
        exact_gelu: bool = False,
        dropout: float = 0.1,
        layer_norm_epsilon: float = 1e-5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        # === Layers ===
        self.layer_norm = layer_norm(layer_norm_epsilon, self.dtype_policy)
        self.dropout_layer = Dropout(dropout, dtype=self.dtype_policy, name="dropout")
        # === Config ===
        self.hidden_size = hidden_size
        self.inner_width = inner_width
        self.channel_mismatch = channel_mismatch
        self.exact_gelu = exact_gelu
        self.dropout = dropout
        self.layer_norm_epsilon = layer_norm_epsilon

    def build(self, input_shape=None):
        def kernel(name, shape):
            initializer = keras.initializers.TruncatedNormal(stddev=0.02)
            return self.add_weight(name=name, shape=shape, initializer=initializer)

        def bias(name, width):
            return self.add_weight(name=name, shape=(width,), initializer="zeros")

        self.kernel_1 = kernel("kernel_1", (self.hidden_size, self.inner_width))
        self.bias_1 = bias("bias_1", self.inner_width)
        self.kernel_2 = kernel("kernel_2", (self.inner_width, self.hidden_size))
        self.bias_2 = bias("bias_2", self.hidden_size)
        self.layer_norm.build((None, None, self.hidden_size))

    def call(
        self,
        x,
        formula: Expression,
        width: int | tuple[int, ...] | None = None,
        choice=None,
        dropout_seed=None,
        training=False,
    ):
        """Applies `formula` with the first `width` inner channels (all of them by default).

        `x` and the result are [batch, tokens, hidden_size].

        Args:
            choice: int32 scalar, the index of the width to use, if `width` is a tuple; it may be a
                tensor that is known only when the graph runs.
        """
        width = self.inner_width if width is None else width
        if choice is None:
            update = self._update(width, formula, x)
        else:
            branches = [functools.partial(self._update, each, formula) for each in width]
            update = ops.switch(choice, branches, x)
        update = self.dropout_layer(update, dropout_seed, training=training)
        return self.layer_norm(x + update)

    def _update(self, width: int, formula: Expression, x):
        linear_maps = {
            "wb1": (self.kernel_1[:, :width], self.bias_1[:width]),
            "wb2": (self.kernel_2[:width], self.bias_2),
        }
        return evaluate(formula, x, linear_maps, self.channel_mismatch, self.exact_gelu)

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_size": self.hidden_size,
            "inner_width": self.inner_width,
            "channel_mismatch": self.channel_mismatch,
            "exact_gelu": self.exact_gelu,
            "dropout": self.dropout,
            "layer_norm_epsilon": self.layer_norm_epsilon,
        }
