"""What a SavedModel can be asked: graph functions from text or token ids to answers."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from tf_efficientbert.export.buckets import buckets_for, smallest_bucket
from tf_efficientbert.export.tf_example import parse_texts
from tf_efficientbert.models.text_model import TextModel

PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"

# Ours by the names that TensorFlow's BERTs are served with.
SERVED_TOKENS = {
    "token_ids": "input_word_ids",
    "padding_mask": "input_mask",
    "segment_ids": "input_type_ids",
}


@dataclasses.dataclass(frozen=True)
class Signature:
    """One thing a server can be asked.

    Attributes:
        function: of tensors; the names of its arguments are the served names.
        inputs: the arguments' specs, in their order.
        method: TF Serving's name for the kind of request that it answers.
    """

    function: Callable[..., dict[str, tf.Tensor]]
    inputs: tuple[tf.TensorSpec, ...]
    method: str = PREDICT


def text_names(model: TextModel) -> tuple[str, ...]:
    """The served names of the texts that the model's task takes."""
    return ("sentences", "second_sentences")[: 2 if model.task.pair else 1]


def signatures(model: TextModel) -> dict[str, Signature]:
    """The signatures of a model for sentences or pairs, see `export_saved_model`."""
    names = text_names(model)
    strings, ids = tf.TensorSpec([None], tf.string), tf.TensorSpec([None, None], tf.int32)
    answer_tokens, answer_text = _shared_graphs(model)

    # The served names of the inputs are those of the functions' arguments.
    def of_text(sentences):
        return answer_text(sentences)

    def of_pairs(sentences, second_sentences):
        return answer_text(sentences, second_sentences)

    def of_tokens(input_word_ids, input_mask, input_type_ids):
        return answer_tokens(input_word_ids, input_mask, input_type_ids)

    def of_examples(examples):
        return answer_text(*parse_texts(examples, names))

    def regress(inputs):
        return {"outputs": of_examples(inputs)["logits"]}

    def classify(inputs):
        scores = of_examples(inputs)["probabilities"]
        classes = tf.broadcast_to(tf.constant(model.labels), tf.shape(scores))
        return {"classes": classes, "scores": scores}

    found = {
        "serving_default": Signature(
            of_pairs if model.task.pair else of_text, (strings,) * len(names)
        ),
        "tokens": Signature(of_tokens, (ids,) * len(SERVED_TOKENS)),
        "serving_examples": Signature(of_examples, (strings,)),
    }
    if model.task.is_regression:
        return {**found, "regress": Signature(regress, (strings,), REGRESS)}
    return {**found, "classify": Signature(classify, (strings,), CLASSIFY)}


def _shared_graphs(model: TextModel) -> tuple[Callable, Callable]:
    """(answers to token ids, answers to texts), each written once for all signatures."""
    buckets, tokenizer = buckets_for(model.max_tokens), model.tokenizer
    segments = model.backbone.embedding.num_segments

    @tf.function
    def answer(token_ids, padding_mask, segment_ids):
        inputs = dict(zip(SERVED_TOKENS, (token_ids, padding_mask, segment_ids), strict=True))
        logits = model.model(inputs)["logits"]
        if model.task.is_regression:
            return {"logits": logits}
        labels = tf.gather(tf.constant(model.labels), tf.argmax(logits, axis=-1))
        return {"logits": logits, "probabilities": tf.nn.softmax(logits), "label": labels}

    def answer_tokens(*given):
        token_ids, mask, segment_ids = refit_tokens(*given, tokenizer.cls_id, buckets)
        _require_below(len(tokenizer.vocabulary), token_ids, "input_word_ids")
        _require_below(segments, segment_ids, "input_type_ids")
        return answer(token_ids, mask, segment_ids)

    @tf.function
    def answer_text(*texts):
        token_ids, segment_ids = tokenizer.encode(*texts, max_tokens=model.max_tokens)
        lengths = tf.cast(token_ids.row_lengths(), tf.int32)
        width = smallest_bucket(tf.reduce_max(lengths), buckets)
        shape = tf.stack([-1, width])
        mask = tf.sequence_mask(lengths, width, tf.int32)
        return answer(token_ids.to_tensor(shape=shape), mask, segment_ids.to_tensor(shape=shape))

    return answer_tokens, answer_text


def _require_below(count: int, ids: tf.Tensor, name: str) -> None:
    # Keras counts negative indices from the end, and a GPU answers those too large with zeros.
    tf.debugging.Assert(
        tf.reduce_all((ids >= 0) & (ids < count)), [f"{name} must be from 0 to {count - 1}"]
    )


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
