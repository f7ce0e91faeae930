"""Quantization-aware training: a student learns with numbers rounded as LiteRT rounds them."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from tf_efficientbert.compression.pruning import linear_maps
from tf_efficientbert.compression.toolkit import toolkit
from tf_efficientbert.layers.linear import rounded_inputs
from tf_efficientbert.models.task_model import TaskModel

# What LiteRT's converter quantizes by one range for the whole of it.
_TABLES = ("token_table", "segment_table")
_SMALLEST, _LARGEST = -128.0, 127.0


def rounded_rows(x: tf.Tensor) -> tf.Tensor:
    """x [..., d] as LiteRT quantizes what goes into a linear map of int8 weights.

    Each row has a range of its own, from its smallest to its largest number and with 0 in it, in
    256 steps; it is found as the row comes, so there is none to learn. The gradient goes straight
    through.
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

    Weights by TFMOT's quantizer, symmetric, from -127 to 127: a linear map with a range for each
    output channel, an embedding table with one. What goes into a linear map by `rounded_rows`. The
    graph that is exported folds some weights into others, which are then rounded again: the
    query's, the first kernels of cells, key and value of the last layer, the segment table; see
    `InferenceGraph`. A map of fewer than 1,024 weights, such as a small classifier, stays in float
    in the file, and so does what goes into the last layer's key and value.

    The training keeps full weights. The forward pass rounds them, and the gradient goes straight
    through (Bengio et al. 2013, arXiv 1308.3432): 1 for every weight. TFMOT's own gradient is 0
    for the largest weight of some channels, which could never shrink.
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
        """What a checkpoint holds of it."""
        return [variable for ranges in self._ranges for variable in ranges.values()]

    def follow(self) -> None:
        """Takes the ranges of the weights as they are now."""
        self._rounded(renew=True)

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Within it the model computes with rounded weights, and rounded inputs of its maps."""
        pairs = []
        for weight, rounded in zip(self._weights, self._rounded(), strict=True):
            full = tf.convert_to_tensor(weight.value)
            # Exactly `rounded`: the two are within a factor of two of each other, or it is 0.
            pairs.append((weight, full + tf.stop_gradient(rounded - full)))
        with keras.StatelessScope(state_mapping=pairs), rounded_inputs(rounded_rows):
            yield

    def round(self) -> None:
        """Rounds the weights themselves."""
        for weight, rounded in zip(self._weights, self._rounded(), strict=True):
            weight.assign(rounded)

    @contextlib.contextmanager
    def rounded(self) -> Iterator[None]:
        """Within it the weights themselves are rounded."""
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
