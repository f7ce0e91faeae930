"""Token ids as the network takes them: in a bucket, whoever put the batch together."""

import tensorflow as tf

from tf_efficientbert.export.buckets import buckets_for, smallest_bucket
from tf_efficientbert.models.text_model import TextModel


def padded_batch(model: TextModel, token_ids: tf.RaggedTensor, segment_ids: tf.RaggedTensor):
    """(token ids, mask, segment ids), int32 [batch, bucket], of what the tokenizer gives."""
    lengths = tf.cast(token_ids.row_lengths(), tf.int32)
    width = smallest_bucket(tf.reduce_max(lengths), buckets_for(model.max_tokens))
    shape = tf.stack([-1, width])
    mask = tf.sequence_mask(lengths, width, tf.int32)
    return token_ids.to_tensor(shape=shape), mask, segment_ids.to_tensor(shape=shape)


def received_batch(model: TextModel, token_ids, mask, segment_ids):
    """`refit_tokens` for a model, which refuses ids that it has no embedding for."""
    buckets = buckets_for(model.max_tokens)
    ids, mask, segments = refit_tokens(
        token_ids, mask, segment_ids, model.tokenizer.cls_id, buckets
    )
    ids = _all_below(len(model.tokenizer.vocabulary), ids, "input_word_ids")
    segments = _all_below(model.backbone.embedding.num_segments, segments, "input_type_ids")
    return ids, mask, segments


def _all_below(count: int, ids: tf.Tensor, name: str) -> tf.Tensor:
    """`ids`, once they are known to be in range."""
    # Keras counts negative indices from the end, and a GPU answers those too large with zeros.
    known = tf.debugging.Assert(
        tf.reduce_all((ids >= 0) & (ids < count)), [f"{name} must be from 0 to {count - 1}"]
    )
    with tf.control_dependencies([known]):
        return tf.identity(ids)


def refit_tokens(token_ids, mask, segment_ids, cls_id: int, buckets: tuple[int, ...]):
    """Brings a batch as a server may have put it together into a bucket.

    TF Serving fills up rows of different length with the first element of each tensor: ids with
    [CLS] and the mask with 1. So a row ends before a second [CLS], which no text leads to, whatever
    its mask says. What the mask leaves out becomes [PAD] in all three; columns are added or taken
    away at the end until they are as many as the smallest bucket that holds the longest row. Rows
    longer than the last bucket are cut there.

    Args:
        token_ids, mask, segment_ids: int32 [batch, tokens] of any width.
        cls_id: int, the id of [CLS].
        buckets: the widths to choose from, ascending.

    Returns: the three, int32 [batch, bucket].
    """
    for name, values in (("input_mask", mask), ("input_type_ids", segment_ids)):
        message = f"{name} must have the shape of input_word_ids"
        tf.debugging.assert_equal(tf.shape(values), tf.shape(token_ids), message)
    first_row = tf.cumsum(tf.cast(token_ids == cls_id, tf.int32), axis=1) <= 1
    mask = tf.cast((mask != 0) & first_row, tf.int32)
    ends = tf.reduce_max(mask * (1 + tf.range(tf.shape(mask)[1])), axis=1)
    width = smallest_bucket(tf.reduce_max(ends), buckets)

    def refit(values):
        kept = (values * mask)[:, :width]
        return tf.pad(kept, [[0, 0], [0, width - tf.shape(kept)[1]]])

    return refit(token_ids), refit(mask), refit(segment_ids)
