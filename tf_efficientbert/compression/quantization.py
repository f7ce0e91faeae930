"""Quantization-aware training with numbers rounded as LiteRT rounds them."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from tf_efficientbert.compression.pruning import linear_maps
from tf_efficientbert.compression.toolkit import toolkit
from tf_efficientbert.layers.bert_embedding import place_embedding
from tf_efficientbert.layers.linear import linear_input
from tf_efficientbert.models.task_model import TaskModel

_TOKEN_TABLE = "token_table"
_SMALLEST, _LARGEST = -128.0, 127.0


def rounded_rows(x: tf.Tensor) -> tf.Tensor:
    """Rounds x [..., d] as LiteRT quantizes the input of a linear map with int8 weights.

    Each row has its own range of 256 steps, from its minimum to its maximum, extended to contain 0.
    The range is computed at run time, so there is none to learn. The gradient is straight-through.
    """
    full = tf.cast(x, tf.float32)
    low = tf.minimum(tf.reduce_min(full, axis=-1, keepdims=True), 0.0)
    high = tf.maximum(tf.reduce_max(full, axis=-1, keepdims=True), 0.0)
    step = tf.where(high > low, (high - low) / (_LARGEST - _SMALLEST), 1.0)
    zero = tf.round(tf.clip_by_value(_SMALLEST - low / step, _SMALLEST, _LARGEST))
    integers = tf.clip_by_value(tf.round(full / step) + zero, _SMALLEST, _LARGEST)
    rounded = tf.cast((integers - zero) * step, x.dtype)
    return x + tf.stop_gradient(rounded - x)


class Quantizer:
    """Rounds a model's numbers as LiteRT's dynamic-range int8 does.

    TFMOT's quantizer rounds weights, symmetrically, from -127 to 127: linear maps with a range for
    each output channel, embedding tables with one range. As in the file, the embeddings of a
    position and a segment are rounded as one, their sum. `rounded_rows` rounds the inputs of linear
    maps. The exported graph differs in some weights. It folds them into others and rounds the
    results again: the query's, the first kernels of cells, key and value of the last layer; see
    `InferenceGraph`. In the file, maps of fewer than 1,024 weights, such as a
    small classifier, stay in float, as do the inputs of the last layer's key and value.

    Training keeps full-precision weights. The forward pass rounds them, and the gradient is
    straight-through (Bengio et al. 2013, arXiv 1308.3432): 1 for every weight. TFMOT's own gradient
    is 0 for the largest weight of some channels, which could then never shrink.

    Args:
        longest: the most tokens of a text in the exported model.
    """

    def __init__(self, model: TaskModel, longest: int):
        tables = [v for v in model.trainable_variables if v.name == _TOKEN_TABLE]
        self._weights = [*linear_maps(model), *tables]
        self._grids = [
            _Grid(() if weight.name == _TOKEN_TABLE else weight.shape[-1:])
            for weight in self._weights
        ]
        self._embedding, self._longest = model.backbone.embedding, longest
        self._place_grid = _Grid(())
        self.follow()

    @property
    def variables(self) -> list[tf.Variable]:
        """The variables that a checkpoint must hold."""
        grids = [*self._grids, self._place_grid]
        return [variable for grid in grids for variable in grid.range.values()]

    def follow(self) -> None:
        """Updates the ranges from the current weights."""
        for weight, grid in zip(self._weights, self._grids, strict=True):
            grid.fit(weight.value)
        positions = tf.convert_to_tensor(self._embedding.position_table.value)[: self._longest]
        segments = tf.convert_to_tensor(self._embedding.segment_table.value)
        self._place_grid.fit(positions + segments[:, None])

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Within the block, the model computes with rounded weights, embeddings of places and
        inputs of linear maps."""
        pairs = []
        for weight, rounded in zip(self._weights, self._rounded(), strict=True):
            full = tf.convert_to_tensor(weight.value)
            # The sum equals `rounded` exactly: both differ by at most a factor of two, or it is 0.
            pairs.append((weight, full + tf.stop_gradient(rounded - full)))
        with (
            keras.StatelessScope(state_mapping=pairs),
            linear_input.by(rounded_rows),
            place_embedding.by(self.rounded_places),
        ):
            yield

    def round(self) -> None:
        """Rounds the weights themselves, but not the embeddings of positions and segments.

        Both tables cannot have all their sums on the grid; the export rounds the sums.
        """
        for weight, rounded in zip(self._weights, self._rounded(), strict=True):
            weight.assign(rounded)

    @contextlib.contextmanager
    def rounded(self) -> Iterator[None]:
        """Within the block, the weights themselves are rounded, see `round`."""
        full = [tf.identity(weight.value) for weight in self._weights]
        try:
            self.round()
            yield
        finally:
            for weight, value in zip(self._weights, full, strict=True):
                weight.assign(value)

    def _rounded(self) -> list[tf.Tensor]:
        pairs = zip(self._weights, self._grids, strict=True)
        return [grid.rounded(weight.value) for weight, grid in pairs]

    def rounded_places(self, x):
        """Rounds embeddings of places, the sums of a position's and a segment's, [..., d]."""
        full = tf.cast(x, tf.float32)
        return x + tf.cast(tf.stop_gradient(self._place_grid.rounded(full) - full), x.dtype)


class _Grid:
    """Multiples of a step from -127 to 127 steps, on which numbers are rounded.

    Args:
        shape: of the step: (), or (channels,) for numbers [..., channels].
    """

    def __init__(self, shape: tuple[int, ...]):
        self._quantizer = toolkit().LastValueQuantizer(
            num_bits=8, per_axis=bool(shape), symmetric=True, narrow_range=True
        )
        self.range = {
            name: tf.Variable(tf.zeros(shape), trainable=False) for name in ("min_var", "max_var")
        }

    def fit(self, x) -> None:
        """Sets the step so that the grid just contains the numbers."""
        self._quantizer(x, training=True, weights=self.range)

    def rounded(self, x) -> tf.Tensor:
        return self._quantizer(x, training=False, weights=self.range)
