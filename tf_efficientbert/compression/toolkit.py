"""The parts of tensorflow_model_optimization (TFMOT) that work on Keras 3 variables.

TFMOT's model wrappers refuse Keras 3 models. No other module imports TFMOT.
"""

import os
from types import SimpleNamespace

import tensorflow as tf

_LEGACY = "TF_USE_LEGACY_KERAS"


def toolkit() -> SimpleNamespace:
    """Returns TFMOT's `PolynomialDecay`, `Pruning` and `LastValueQuantizer`, imported on demand.

    TFMOT's import sets an environment variable that selects the legacy Keras, in this process and
    its children. This function undoes that.
    """
    _ = tf.keras.__version__  # the first use fixes which Keras tf.keras is
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
