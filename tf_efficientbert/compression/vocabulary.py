"""A smaller vocabulary: the rows of word pieces that a task never uses are removed."""

import numpy as np

from tf_efficientbert.data.batching import EncodedExamples
from tf_efficientbert.data.tokenizer import SPECIAL_TOKENS, Tokenizer
from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.models.text_model import TextModel

__all__ = ["used_pieces", "with_pieces"]

_CONTINUED = "##"


def used_pieces(tokenizer: Tokenizer, examples: EncodedExamples, least: int) -> np.ndarray:
    """Returns the ids, ascending, of the word pieces to keep.

    These are the pieces that occur at least `least` times, special tokens, and single characters,
    from which the tokenizer spells words whose longer pieces are gone.
    """
    counts = np.bincount(examples.token_ids, minlength=len(tokenizer.vocabulary))
    always = [
        piece in SPECIAL_TOKENS or len(piece.removeprefix(_CONTINUED)) == 1
        for piece in tokenizer.vocabulary
    ]
    return np.flatnonzero((counts >= least) | always)


def with_pieces(student: TextModel, kept: np.ndarray) -> TextModel:
    """Returns the student with the word pieces `kept`, ids in ascending order, and their rows.

    Text that consists of them has the same logits as before.
    """
    old = student.tokenizer
    vocabulary = [old.vocabulary[piece] for piece in kept]
    tokenizer = Tokenizer(vocabulary, old.lower_case, old.strip_accents)
    full = student.backbone
    config = {**full.get_config(), "vocabulary_size": len(kept), "name": "efficient_bert"}
    small = EfficientBert.from_config(config)
    table = full.embedding.token_table
    values = ((weight, weight.numpy()) for weight in full.weights)
    small.set_weights([value[kept] if weight is table else value for weight, value in values])
    model = student.model.with_backbone(small)
    return TextModel(model, tokenizer, student.task, student.max_tokens)
