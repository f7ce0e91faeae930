"""Quantization-aware training with numbers rounded as LiteRT rounds them."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from tf_efficientbert.compression.pruning import linear_maps
from tf_efficientbert.compression.toolkit import toolkit
from tf_efficientbert.layers.linear import rounded_inputs
from tf_efficientbert.models.task_model import TaskModel

# Weights that LiteRT's converter quantizes with a single range.
_TABLES = ("token_table", "segment_table")
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
    each output channel, embedding tables with one range. `rounded_rows` rounds the inputs of linear
    maps. The exported graph differs in places. It folds some weights into others and rounds the
    results again: the query's, the first kernels of cells, key and value of the last layer, the
    segment table; see `InferenceGraph`. In the file, maps of fewer than 1,024 weights, such as a
    small classifier, stay in float, as do the inputs of the last layer's key and value.

    Training keeps full-precision weights. The forward pass rounds them, and the gradient is
    straight-through (Bengio et al. 2013, arXiv 1308.3432): 1 for every weight. TFMOT's own gradient
    is 0 for the largest weight of some channels, which could then never shrink.
    """

    def __init__(self, model: TaskModel):
        maps = linear_maps(model)
        tables = [v for v in model.trainable_variables if v.name in _TABLES]
        self._weights = [*maps, *tables]
        quantizer = toolkit().LastValueQuantizer
        self._quantizers, self._ranges = [], []
        for weight in self._weights:
            per_axis = weight.name not in _TABLES
            self._quantizers.append(
                quantizer(num_bits=8, per_axis=per_axis, symmetric=True, narrow_range=True)
            )
            shape = weight.shape[-1:] if per_axis else ()
            self._ranges.append(
                {
                    name: tf.Variable(tf.zeros(shape), trainable=False)
                    for name in ("min_var", "max_var")
                }
            )
        self.follow()

    @property
    def variables(self) -> list[tf.Variable]:
        """The variables that a checkpoint must hold."""
        return [variable for ranges in self._ranges for variable in ranges.values()]

    def follow(self) -> None:
        """Updates the ranges from the current weights."""
        self._rounded(renew=True)

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Within the block, the model computes with rounded weights and rounded inputs of maps."""
        pairs = []
        for weight, rounded in zip(self._weights, self._rounded(), strict=True):
            full = tf.convert_to_tensor(weight.value)
            # The sum equals `rounded` exactly: both differ by at most a factor of two, or it is 0.
            pairs.append((weight, full + tf.stop_gradient(rounded - full)))
        with keras.StatelessScope(state_mapping=pairs), rounded_inputs(rounded_rows):
            yield

    def round(self) -> None:
        """Rounds the weights themselves."""
        for weight, rounded in zip(self._weights, self._rounded(), strict=True):
            weight.assign(rounded)

    @contextlib.contextmanager
    def rounded(self) -> Iterator[None]:
        """Within the block, the weights themselves are rounded."""
        full = [tf.identity(weight.value) for weight in self._weights]
        try:
            self.round()
            yield
        finally:
            for weight, value in zip(self._weights, full, strict=True):
                weight.assign(value)

    def _rounded(self, renew: bool = False) -> list[tf.Tensor]:
        return [
            quantizer(weight.value, training=renew, weights=ranges)
            for weight, quantizer, ranges in zip(
                self._weights, self._quantizers, self._ranges, strict=True
            )
        ]
