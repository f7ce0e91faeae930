"""Dropout with a seed given at each call."""

import keras

# The seed dtype that each backend's random functions take without a conversion.
_SEED_DTYPE = "uint32" if keras.backend.backend() == "jax" else "int32"


class _GivenSeed(keras.random.SeedGenerator):
    """Wraps a given seed tensor as a generator for `keras.random`."""

    def __init__(self, seed):  # creates no variable, so there is no state to track or save
        self._seed = seed

    def next(self, ordered: bool = True):
        return self._seed


@keras.saving.register_keras_serializable(package="tf_efficientbert")
class Dropout(keras.layers.Layer):
    """Reproducible dropout: the same `dropout_seed` gives the same mask.

    Keras' own layer uses a generator whose state advances during training. Masks that depend only
    on the step's number can be drawn again by a resumed run.

    Args:
        rate: float in [0, 1), the share of elements set to zero.
    """

    def __init__(self, rate: float, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"the dropout rate must be in [0, 1), but got {rate}")
        self.rate = rate
        self.built = True

    def call(self, inputs, dropout_seed=None, training=False):
        """Drops elements of `inputs` (any shape) if `training`.

        `dropout_seed` is an int32 tensor of shape [2], different for each layer and step; without
        one, masks come from Keras' global generator.
        """
        if not training or self.rate == 0:
            return inputs
        seed = None
        if dropout_seed is not None:
            seed = _GivenSeed(keras.ops.cast(dropout_seed, _SEED_DTYPE))
        return keras.random.dropout(inputs, self.rate, seed=seed)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


def fold_in(dropout_seed, index: int):
    """Derives the seed of the `index`-th dropout from a given one; None stays None."""
    if dropout_seed is None:
        return None
    # Odd multiplier: distinct indices stay distinct modulo 2**32.
    return dropout_seed * 1000003 + (index + 1)
