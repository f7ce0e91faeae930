"""Lengths that text is padded to, so that a server gets few shapes."""

import tensorflow as tf

BUCKETS = (64, 128, 384)


def buckets_for(max_tokens: int) -> tuple[int, ...]:
    """Returns the buckets of a model that cuts text at `max_tokens`, the last bucket."""
    return (*(bucket for bucket in BUCKETS if bucket < max_tokens), max_tokens)


def smallest_bucket(longest: tf.Tensor, buckets: tuple[int, ...]) -> tf.Tensor:
    """Returns the smallest bucket that holds `longest` tokens (an int32 scalar), or the last."""
    index = tf.searchsorted(buckets, longest[None], side="left")[0]
    return tf.gather(buckets, tf.minimum(index, len(buckets) - 1))
