"""The parts of tensorflow_model_optimization (TFMOT) that work on Keras 3 variables.

Its model wrappers refuse Keras 3 models. Nothing else of the project imports it.
"""

import os
from types import SimpleNamespace

import tensorflow as tf

_LEGACY = "TF_USE_LEGACY_KERAS"


def toolkit() -> SimpleNamespace:
    """TFMOT's `PolynomialDecay`, `Pruning` and `LastValueQuantizer`, imported when first asked for.

    The import asks for the old Keras, for this process and the ones it starts; neither gets it.
    """
    _ = tf.keras.__version__  # from its first use on, tf.keras stays what it is
    found = os.environ.get(_LEGACY)
    try:
        from tensorflow_model_optimization.python.core.quantization.keras.quantizers import (
            LastValueQuantizer,
        )
        from tensorflow_model_optimization.python.core.sparsity.keras.pruning_impl import Pruning
        from tensorflow_model_optimization.python.core.sparsity.keras.pruning_schedule import (
            PolynomialDecay,
        )
    finally:
        os.environ.pop(_LEGACY, None)
        if found is not None:
            os.environ[_LEGACY] = found
    return SimpleNamespace(
        LastValueQuantizer=LastValueQuantizer, PolynomialDecay=PolynomialDecay, Pruning=Pruning
    )
