"""Speed of this machine, for the estimates before a run."""

import dataclasses
import time

import tensorflow as tf

__all__ = ["Rates", "measured_rates"]

_ROWS, _INNER, _OUTER = 2048, 384, 1536  # sizes of a feed-forward network of the default teacher
_MEASURED_SECONDS = 0.3


@dataclasses.dataclass(frozen=True)
class Rates:
    """Seconds per unit of work; the defaults are for two cores of an Intel Xeon with AMX.

    Attributes:
        mac: one multiply-accumulate of a forward pass.
        step: overhead of a training step: small operations and the optimizer.
        training: start of a training: reading models and text, tracing the step.
        candidate: start of a candidate's training: inheriting weights, tracing.
        side_by_side: time of trainings side by side, divided by their times one after the other.
        export: exporting, comparing and timing one model.
    """

    mac: float = 1.1e-11
    step: float = 0.16
    training: float = 25.0
    candidate: float = 8.0
    side_by_side: float = 0.75
    export: float = 36.0


def measured_rates(bfloat16: bool) -> Rates:
    """Returns the default rates with this machine's time per multiply-accumulate.

    It is measured on a matrix product, which takes about as long per operation as a network.
    """
    dtype = tf.bfloat16 if bfloat16 else tf.float32
    rows, weights = tf.ones([_ROWS, _INNER], dtype), tf.ones([_INNER, _OUTER], dtype)
    fastest, began = float("inf"), time.perf_counter()
    while (started := time.perf_counter()) - began < _MEASURED_SECONDS:
        tf.matmul(rows, weights).numpy()
        fastest = min(fastest, time.perf_counter() - started)
    return Rates(mac=fastest / (_ROWS * _INNER * _OUTER))
