"""The searchable feed-forward cell: stacked feed-forward networks of one formula."""

import dataclasses
import functools
from fractions import Fraction

import keras
from keras import ops

from tf_efficientbert.architecture import CellSpec
from tf_efficientbert.architecture.expression import RATIO_DENOMINATORS, width_error
from tf_efficientbert.layers.dropout import fold_in
from tf_efficientbert.layers.feed_forward import FeedForward


def _unchanged(x):
    return x


@keras.saving.register_keras_serializable(package="tf_efficientbert")
class FeedForwardCell(keras.layers.Layer):
    """A layer's stack of feed-forward networks, described by a `CellSpec`.

    The weights are sliceable: a call may give another cell, which uses the first networks of the
    stack and the first channels of each (a candidate inherits by slicing). With `choice`, the
    slice is a tensor, so one graph covers all stacks and ratios.

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

    def call(self, x, cell: CellSpec | None = None, choice=None, dropout_seed=None, training=False):
        """Applies the stack, or a slice of it, to `x` [batch, tokens, hidden_size].

        Args:
            cell: CellSpec or None, the formula, stack and ratio to use instead of the layer's own.
            choice: int32 [2] or None, the stack and the ratio's denominator to use with the
                layer's own formula. The ratio must not exceed that of the weights, and the
                formula's widths must fit it; otherwise the next smaller ratio that does is used
                or, if there is none, the smallest one.

        Raises ValueError if `cell` is deeper or wider than the weights.
        """
        if choice is not None:
            return self._chosen(x, choice, dropout_seed, training)
        cell = self.cell if cell is None else cell
        if cell.stack > self.cell.stack or cell.ratio > self.cell.ratio:
            raise ValueError(f"cell {cell} does not fit into the weights of {self.cell}")
        width = cell.inner_width(self.ffn_width)
        for j, feed_forward in enumerate(self.feed_forwards[: cell.stack]):
            seed = fold_in(dropout_seed, j)
            x = feed_forward(
                x, formula=cell.formula, width=width, dropout_seed=seed, training=training
            )
        return x

    def _chosen(self, x, choice, dropout_seed, training: bool):
        stack, denominator = choice[0], choice[1]
        held = [d for d in RATIO_DENOMINATORS if self._holds(Fraction(1, d))]
        widths = tuple(int(self.ffn_width * Fraction(1, d)) for d in held)
        index = ops.sum(ops.cast(denominator > ops.array(held, "int32"), "int32"))
        for j, feed_forward in enumerate(self.feed_forwards):
            apply = functools.partial(
                feed_forward,
                formula=self.cell.formula,
                width=widths,
                choice=index,
                dropout_seed=fold_in(dropout_seed, j),
                training=training,
            )
            x = ops.switch(ops.cast(j < stack, "int32"), [_unchanged, apply], x)
        return x

    def _holds(self, ratio: Fraction) -> bool:
        cell = dataclasses.replace(self.cell, ratio=ratio)
        widths = self.channel_mismatch, self.hidden_size, self.ffn_width
        return ratio <= self.cell.ratio and not width_error(cell.expression, *widths)

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
