"""The lengths that text is padded to, so that a server sees few shapes."""

import tensorflow as tf

BUCKETS = (64, 128, 384)


def buckets_for(max_tokens: int) -> tuple[int, ...]:
    """The buckets of a model that cuts text at `max_tokens`, which is the last of them."""
    return (*(bucket for bucket in BUCKETS if bucket < max_tokens), max_tokens)


def smallest_bucket(longest: tf.Tensor, buckets: tuple[int, ...]) -> tf.Tensor:
    """The smallest bucket that holds `longest` tokens (an int32 scalar), or the last."""
    index = tf.searchsorted(buckets, longest[None], side="left")[0]
    return tf.gather(buckets, tf.minimum(index, len(buckets) - 1))
