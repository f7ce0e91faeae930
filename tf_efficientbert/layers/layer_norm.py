"""LayerNorm with float32 parameters, for all layers."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tf_efficientbert")
class LayerNorm(keras.layers.LayerNormalization):
    """Keras' LayerNormalization of the last axis, with its gradient in closed form.

    In training, automatic differentiation takes about 25 operations for the gradient, and a network
    has 31 LayerNorms. This takes 12. Ba et al. 2016 (arXiv 1607.06450), equation 3.
    """

    def call(self, inputs, training=False):
        """Normalizes `inputs` [..., d] in float32; returns their shape and dtype."""
        if not training:
            return super().call(inputs)
        # Copies: TensorFlow's custom gradients take tensors, not variables.
        gamma, beta = ops.copy(self.gamma), ops.copy(self.beta)
        return _normalized(self.epsilon)(inputs, gamma, beta)


def _normalized(epsilon: float):
    """Returns the function of x [..., d], gamma [d] and beta [d], with its gradient."""

    def rows_mean(x):
        return ops.mean(x, axis=-1, keepdims=True)

    @ops.custom_gradient
    def normalized(x, gamma, beta):
        dtype, leading = x.dtype, tuple(range(len(x.shape) - 1))
        centred = ops.cast(x, "float32")
        centred = centred - rows_mean(centred)
        scale = ops.rsqrt(rows_mean(ops.square(centred)) + epsilon)
        unit = centred * scale

        def gradient(*args, upstream=None):
            upstream = ops.cast(args[0] if upstream is None else upstream, "float32")
            by_gamma = upstream * unit
            inner = upstream * gamma
            by_x = (inner - rows_mean(inner) - unit * rows_mean(by_gamma * gamma)) * scale
            return (
                ops.cast(by_x, dtype),
                ops.sum(by_gamma, axis=leading),
                ops.sum(upstream, axis=leading),
            )

        return ops.cast(unit * gamma + beta, dtype), gradient

    return normalized


def layer_norm(epsilon: float, policy: keras.DTypePolicy) -> LayerNorm:
    """Returns a LayerNorm with scale and shift in float32, regardless of `policy`.

    The layer computes in float32, and these few parameters need little memory.
    """
    name = "mixed_bfloat16" if policy.name == "bfloat16" else policy
    return LayerNorm(epsilon=epsilon, dtype=name, name="layer_norm")
