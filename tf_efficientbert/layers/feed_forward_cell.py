"""The searchable feed-forward cell: stacked feed-forward networks of one formula."""

import keras

from tf_efficientbert.architecture.spec import CellSpec
from tf_efficientbert.layers.dropout import fold_in
from tf_efficientbert.layers.feed_forward import FeedForward


@keras.saving.register_keras_serializable(package="tf_efficientbert")
class FeedForwardCell(keras.layers.Layer):
    """A layer's stack of feed-forward networks, as its `CellSpec` says.

    The weights are sliceable: a call may name another cell, which then uses the first networks of
    the stack and the first channels of each (a candidate inherits by slicing).

    Args:
        cell: CellSpec, or its text form.
        hidden_size: int, width d of input and output.
        ffn_width: int, inner width at ratio 1.
        The others: see `FeedForward`.
    """

    def __init__(
        self,
        cell: CellSpec | str,
        hidden_size: int,
        ffn_width: int,
        channel_mismatch: str = "slice",
        exact_gelu: bool = False,
        dropout: float = 0.1,
        layer_norm_epsilon: float = 1e-5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.cell = CellSpec.from_text(cell) if isinstance(cell, str) else cell
        # === Layers ===
        self.feed_forwards = [
            FeedForward(
                hidden_size=hidden_size,
                inner_width=self.cell.inner_width(ffn_width),
                channel_mismatch=channel_mismatch,
                exact_gelu=exact_gelu,
                dropout=dropout,
                layer_norm_epsilon=layer_norm_epsilon,
                dtype=self.dtype_policy,
                name=f"feed_forward_{j}",
            )
            for j in range(self.cell.stack)
        ]
        # === Config ===
        self.hidden_size = hidden_size
        self.ffn_width = ffn_width
        self.channel_mismatch = channel_mismatch
        self.exact_gelu = exact_gelu
        self.dropout = dropout
        self.layer_norm_epsilon = layer_norm_epsilon

    def build(self, input_shape=None):
        for feed_forward in self.feed_forwards:
            feed_forward.build(input_shape)

    def call(self, x, cell: CellSpec | None = None, dropout_seed=None, training=False):
        """Applies the stack, or what `cell` uses of it, to `x` [batch, tokens, hidden_size].

        Raises ValueError where `cell` is deeper or wider than the weights.
        """
        cell = self.cell if cell is None else cell
        width = cell.inner_width(self.ffn_width)
        if cell.stack > self.cell.stack or cell.ratio > self.cell.ratio:
            raise ValueError(f"cell {cell} does not fit into the weights of {self.cell}")
        for j, feed_forward in enumerate(self.feed_forwards[: cell.stack]):
            x = feed_forward(
                x,
                formula=cell.formula,
                width=width,
                dropout_seed=fold_in(dropout_seed, j),
                training=training,
            )
        return x

    def get_config(self):
        return {
            **super().get_config(),
            "cell": str(self.cell),
            "hidden_size": self.hidden_size,
            "ffn_width": self.ffn_width,
            "channel_mismatch": self.channel_mismatch,
            "exact_gelu": self.exact_gelu,
            "dropout": self.dropout,
            "layer_norm_epsilon": self.layer_norm_epsilon,
        }
