"""The learning rate schedule."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tf_efficientbert")
class LinearWarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from 0 to `peak`, then linear decay to 0.

    Args:
        peak: float, the highest rate.
        total_steps: int.
        warmup_fraction: float in [0, 1), share of the steps for the warm-up.
    """

    def __init__(self, peak: float, total_steps: int, warmup_fraction: float = 0.1):
        if total_steps < 1:
            raise ValueError(f"total_steps must be positive, but got {total_steps}")
        if not 0 <= warmup_fraction < 1:
            raise ValueError(f"warmup_fraction must be in [0, 1), but got {warmup_fraction}")
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_fraction = warmup_fraction

    def __call__(self, step):
        # Use the middle of each step's interval, so that the rate of step 0 is not 0.
        position = (ops.cast(step, "float32") + 0.5) / self.total_steps
        fall = (1 - position) / (1 - self.warmup_fraction)
        if not self.warmup_fraction:
            return self.peak * ops.clip(fall, 0.0, 1.0)
        rise = position / self.warmup_fraction
        return self.peak * ops.clip(ops.minimum(rise, fall), 0.0, 1.0)

    def get_config(self):
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_fraction": self.warmup_fraction,
        }
