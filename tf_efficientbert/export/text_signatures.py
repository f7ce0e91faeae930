"""Signatures of a model for single texts or pairs."""

from collections.abc import Callable

import tensorflow as tf

from tf_efficientbert.export.serving_graph import ServingGraph
from tf_efficientbert.export.signature import (
    CLASSIFY,
    REGRESS,
    SERVED_TOKENS,
    Signature,
)
from tf_efficientbert.export.tf_example import parse_texts
from tf_efficientbert.export.token_batch import padded_batch, received_batch
from tf_efficientbert.models.text_model import TextModel


def text_signatures(model: TextModel) -> dict[str, Signature]:
    """Returns the signatures of a model for single texts or pairs, see `write_version`."""
    names = model.task.served_texts
    strings, ids = tf.TensorSpec([None], tf.string), tf.TensorSpec([None, None], tf.int32)
    answer, answer_text = _shared_graphs(model)

    # The served names of the inputs are those of the functions' arguments.
    def of_text(text):
        return answer_text(text)

    def of_pairs(text, second_text):
        return answer_text(text, second_text)

    def of_tokens(input_word_ids, input_mask, input_type_ids):
        return answer(*received_batch(model, input_word_ids, input_mask, input_type_ids))

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
    own = {
        "classify": Signature(classify, (strings,), CLASSIFY),
        "regress": Signature(regress, (strings,), REGRESS),
    }
    name = model.task.served_as
    return {**found, name: own[name]}


def _shared_graphs(model: TextModel) -> tuple[Callable, Callable]:
    """Returns functions of token ids and of texts, whose graphs all signatures share."""

    graph = ServingGraph(model.model)

    @tf.function
    def answer(token_ids, padding_mask, segment_ids):
        return model.task.served_outputs(graph(token_ids, segment_ids, padding_mask))

    @tf.function
    def answer_text(*texts):
        encoded = model.tokenizer.encode(*texts, max_tokens=model.max_tokens)
        return answer(*padded_batch(model, *encoded))

    return answer, answer_text
