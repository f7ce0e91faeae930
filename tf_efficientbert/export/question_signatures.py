"""Signatures of a question answering model (SQuAD)."""

import tensorflow as tf

from tf_efficientbert.export.signature import SERVED_TOKENS, Signature
from tf_efficientbert.export.tf_example import parse_texts
from tf_efficientbert.export.token_batch import padded_batch, received_batch
from tf_efficientbert.models.text_model import TextModel

LONGEST_ANSWER = 30  # tokens, as in BERT's own evaluation
_NEVER = -1e9


def question_signatures(model: TextModel) -> dict[str, Signature]:
    """Returns the signatures of a model whose task is a span, see `write_version`."""
    strings, ids = tf.TensorSpec([None], tf.string), tf.TensorSpec([None, None], tf.int32)
    names = model.task.served_texts

    @tf.function
    def span_logits(token_ids, padding_mask, segment_ids):
        inputs = dict(zip(SERVED_TOKENS, (token_ids, padding_mask, segment_ids), strict=True))
        outputs = model.model(inputs)
        return {name: outputs[name] for name in model.task.output_names}

    @tf.function
    def answer(questions, contexts):
        token_ids, segment_ids, starts, ends = model.tokenizer.encode_questions(
            questions, contexts, model.max_tokens
        )
        logits = span_logits(*padded_batch(model, token_ids, segment_ids))
        return found_answers(contexts, starts, ends, logits)

    def of_text(question, context):
        return answer(question, context)

    def of_tokens(input_word_ids, input_mask, input_type_ids):
        logits = span_logits(*received_batch(model, input_word_ids, input_mask, input_type_ids))
        # As wide as the input: a server may join the outputs of parts of a batch.
        width = tf.shape(input_word_ids)[1]
        return {name: _at_width(values, width) for name, values in logits.items()}

    def of_examples(examples):
        return answer(*parse_texts(examples, names))

    return {
        "serving_default": Signature(of_text, (strings, strings)),
        "tokens": Signature(of_tokens, (ids,) * len(SERVED_TOKENS)),
        "serving_examples": Signature(of_examples, (strings,)),
    }


def found_answers(
    contexts: tf.Tensor,
    starts: tf.RaggedTensor,
    ends: tf.RaggedTensor,
    logits: dict[str, tf.Tensor],
) -> dict[str, tf.Tensor]:
    """Computes the outputs of the text signatures from the logits of `tokens`.

    Args:
        contexts: string [batch].
        starts, ends: int32 [batch, (tokens)], see `Tokenizer.encode_questions`.
        logits: `start_logits` and `end_logits`, float32 [batch, tokens].
    """
    shape = tf.stack([-1, tf.shape(logits["start_logits"])[1]])
    starts, ends = (part.to_tensor(-1, shape=shape) for part in (starts, ends))
    first, last, score, none = best_span(logits["start_logits"], logits["end_logits"], starts >= 0)
    start = tf.maximum(tf.gather(starts, first, batch_dims=1), 0)
    end = tf.maximum(tf.gather(ends, last, batch_dims=1), 0)
    return {"score": score, "no_answer_score": none, **_in_characters(contexts, start, end)}


def best_span(start_logits: tf.Tensor, end_logits: tf.Tensor, in_context: tf.Tensor):
    """Finds the most probable span of at most 30 tokens in the context.

    Args:
        start_logits, end_logits: float32 [batch, tokens].
        in_context: bool [batch, tokens].

    Returns: (first token, last token, score, score of no answer), int32, int32 and float32 [batch].
        A score is the start token's probability times the end token's, each among the context's
        tokens and [CLS]. Both are [CLS] for no answer, as models learn on SQuAD 2.0. Without
        context, the span's score is 0.
    """
    tokens = tf.shape(in_context)[1]
    is_choice = in_context | (tf.range(tokens) == 0)

    starts, ends = (
        tf.nn.log_softmax(tf.where(is_choice, logits, _NEVER))
        for logits in (start_logits, end_logits)
    )
    none = tf.exp(starts[:, 0] + ends[:, 0])
    starts, ends = (tf.where(in_context, values, _NEVER) for values in (starts, ends))
    pairs = starts[:, :, None] + ends[:, None]
    in_order = tf.linalg.band_part(tf.ones([tokens, tokens], tf.bool), 0, LONGEST_ANSWER - 1)
    pairs = tf.reshape(tf.where(in_order, pairs, 2 * _NEVER), [-1, tokens * tokens])
    best = tf.argmax(pairs, axis=-1, output_type=tf.int32)
    return best // tokens, best % tokens, tf.exp(tf.reduce_max(pairs, axis=-1)), none


def _at_width(logits: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    kept = logits[:, :width]
    return tf.pad(kept, [[0, 0], [0, width - tf.shape(kept)[1]]], constant_values=_NEVER)


def _in_characters(contexts: tf.Tensor, start: tf.Tensor, end: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the text from byte `start` to `end` of each context, and its character offsets."""
    answers = tf.strings.substr(contexts, start, end - start)
    before = tf.strings.substr(contexts, tf.zeros_like(start), start)
    first = tf.strings.length(before, unit="UTF8_CHAR")
    last = first + tf.strings.length(answers, unit="UTF8_CHAR")
    return {"answer": answers, "start": first, "end": last}
