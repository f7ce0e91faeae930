"""The tf.distribute strategy of a job."""

import tensorflow as tf

from tf_efficientbert.errors import UserError

STRATEGIES = ("default", "mirrored")


def make_strategy(name: str) -> tf.distribute.Strategy:
    """Returns a strategy: "default" for one device, "mirrored" for all GPUs or logical CPUs.

    Raises:
        UserError: the name is unknown.
    """
    if name == "default":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        devices = [device.name for device in tf.config.list_logical_devices(kind)]
        return tf.distribute.MirroredStrategy(devices)
    raise UserError(f"--strategy={name}: expected one of {', '.join(STRATEGIES)}")
