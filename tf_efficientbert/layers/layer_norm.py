"""LayerNorm with float32 parameters, for all layers."""

import keras


def layer_norm(epsilon: float, policy: keras.DTypePolicy) -> keras.layers.LayerNormalization:
    """Returns a LayerNormalization with scale and shift in float32, regardless of `policy`.

    The layer computes in float32, and these few parameters need little memory.
    """
    name = "mixed_bfloat16" if policy.name == "bfloat16" else policy
    return keras.layers.LayerNormalization(epsilon=epsilon, dtype=name, name="layer_norm")
