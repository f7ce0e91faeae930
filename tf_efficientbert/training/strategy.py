"""The tf.distribute strategy a job trains under."""

import tensorflow as tf

from tf_efficientbert.errors import UserError

STRATEGIES = ("default", "mirrored")


def make_strategy(name: str) -> tf.distribute.Strategy:
    """ "default" is one device; "mirrored" a replica on each GPU, or on each logical CPU.

    Raises:
        UserError: another name.
    """
    if name == "default":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        devices = [device.name for device in tf.config.list_logical_devices(kind)]
        return tf.distribute.MirroredStrategy(devices)
    raise UserError(f"--strategy={name} is unknown, expected one of {', '.join(STRATEGIES)}")
