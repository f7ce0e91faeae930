"""The LayerNorm of every layer."""

import keras


def layer_norm(epsilon: float, policy: keras.DTypePolicy) -> keras.layers.LayerNormalization:
    """LayerNormalization whose scale and shift stay in float32, whatever the other weights are in.

    It computes in float32, so that rounding these few numbers would save nothing.
    """
    name = "mixed_bfloat16" if policy.name == "bfloat16" else policy
    return keras.layers.LayerNormalization(epsilon=epsilon, dtype=name, name="layer_norm")
