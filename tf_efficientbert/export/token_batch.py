"""Pads batches of token ids to a bucket, from the tokenizer or from a server."""

import tensorflow as tf

from tf_efficientbert.export.buckets import buckets_for, smallest_bucket
from tf_efficientbert.models.text_model import TextModel


def padded_batch(model: TextModel, token_ids: tf.RaggedTensor, segment_ids: tf.RaggedTensor):
    """Pads the tokenizer's output to (token ids, mask, segment ids), int32 [batch, bucket]."""
    lengths = tf.cast(token_ids.row_lengths(), tf.int32)
    width = smallest_bucket(tf.reduce_max(lengths), buckets_for(model.max_tokens))
    shape = tf.stack([-1, width])
    mask = tf.sequence_mask(lengths, width, tf.int32)
    return token_ids.to_tensor(shape=shape), mask, segment_ids.to_tensor(shape=shape)


def received_batch(model: TextModel, token_ids, mask, segment_ids):
    """Applies `refit_tokens` for a model; ids without an embedding are an error."""
    buckets = buckets_for(model.max_tokens)
    ids, mask, segments = refit_tokens(
        token_ids, mask, segment_ids, model.tokenizer.cls_id, buckets
    )
    ids = _all_below(len(model.tokenizer.vocabulary), ids, "input_word_ids")
    segments = _all_below(model.backbone.embedding.num_segments, segments, "input_type_ids")
    return ids, mask, segments


def _all_below(count: int, ids: tf.Tensor, name: str) -> tf.Tensor:
    """Returns `ids` after an assertion that they are in range."""
    # Keras counts negative indices from the end, and a GPU returns zeros for too large ones.
    known = tf.debugging.Assert(
        tf.reduce_all((ids >= 0) & (ids < count)), [f"{name} must be from 0 to {count - 1}"]
    )
    with tf.control_dependencies([known]):
        return tf.identity(ids)


def refit_tokens(token_ids, mask, segment_ids, cls_id: int, buckets: tuple[int, ...]):
    """Pads or cuts a batch from a server to a bucket.

    TF Serving pads rows of different length with the first element of each tensor: ids with [CLS]
    and the mask with 1. So a row ends before a second [CLS], which no text produces, whatever its
    mask is. Masked tokens become [PAD] in all three tensors. Columns are added or removed at the
    end to get the smallest bucket that holds the longest row. Rows longer than the last bucket are
    cut there.

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
