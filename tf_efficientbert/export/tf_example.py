"""Texts as serialized tf.Example, the input of TF Serving's Classify and Regress."""

from collections.abc import Mapping, Sequence

import tensorflow as tf


def as_example(texts: Mapping[str, str | bytes]) -> tf.train.Example:
    """Returns a tf.Example with a bytes feature for each text."""

    def feature(text):
        value = text.encode("utf-8") if isinstance(text, str) else text
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    return tf.train.Example(
        features=tf.train.Features(feature={name: feature(text) for name, text in texts.items()})
    )


def parse_texts(examples: tf.Tensor, names: Sequence[str]) -> list[tf.Tensor]:
    """Parses the features `names`, all required, of serialized examples [batch]; each [batch]."""
    features = {name: tf.io.FixedLenFeature([], tf.string) for name in names}
    parsed = tf.io.parse_example(examples, features)
    return [parsed[name] for name in names]
