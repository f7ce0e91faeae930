"""Losses of a student's outputs against its teacher's.

Every function returns one float32 scalar, the mean over the examples of a batch. In the paper's
losses (Dong et al. 2021, section 3.3), on attention scores and hidden states, an example's loss is
the mean over all its elements, padding included; with a `padding_mask` (int32 [batch, tokens], 1
for real tokens), it is the mean over real tokens only. The other losses never read padding. Each
kind of task has its prediction loss in `tasks`; classification's is exported here too.
"""

from collections.abc import Sequence

from keras import ops

from tf_efficientbert.distillation.layer_map import layer_map
from tf_efficientbert.layers.self_attention import attention_bias
from tf_efficientbert.tasks.classification import prediction_loss

__all__ = [
    "added",
    "attention_loss",
    "contrastive_loss",
    "cosine_loss",
    "hidden_loss",
    "prediction_loss",
    "relation_loss",
]

_SCORE_FLOOR = -100.0  # the reference's; only masked scores are that low


def _mean(values, weights):
    """Returns the mean over examples of the (weighted) mean of each; values are [batch, ...]."""
    axes = tuple(range(1, len(values.shape)))
    if weights is None:
        return ops.mean(values)
    share = weights / ops.sum(weights, axis=axes, keepdims=True)
    return ops.mean(ops.sum(values * share, axis=axes))


def added(losses: Sequence):
    """Returns the sum of scalars.

    It is one operation: graph optimizers may reorder a chain of sums differently in each process.
    """
    return ops.sum(ops.stack(losses))


def _squared_error(a, b):
    return ops.square(ops.cast(a, "float32") - ops.cast(b, "float32"))


def attention_loss(teacher_scores: Sequence, student_scores: Sequence, padding_mask=None):
    """Returns the sum over student layers of the MSE between attention scores before softmax.

    Args:
        teacher_scores, student_scores: one [batch, heads, tokens, tokens] per layer; `layer_map`
            chooses the teacher's layers. Masked entries (-100 or less) count as 0.

    Raises:
        ValueError: the numbers of heads differ.
    """
    heads = teacher_scores[0].shape[1], student_scores[0].shape[1]
    if heads[0] != heads[1]:
        raise ValueError(
            f"attention_loss needs equal heads: teacher {heads[0]}, student {heads[1]}"
        )
    weights = None
    if padding_mask is not None:
        mask = ops.cast(padding_mask, "float32")
        weights = (mask[:, :, None] * mask[:, None, :])[:, None]

    def visible(scores):
        scores = ops.cast(scores, "float32")
        return ops.where(scores <= _SCORE_FLOOR, 0.0, scores)

    terms = []
    for chosen, scores in zip(
        layer_map(len(teacher_scores), len(student_scores)), student_scores, strict=True
    ):
        error = _squared_error(visible(teacher_scores[chosen]), visible(scores))
        if weights is not None:  # average over heads first, as they share the mask
            error = ops.mean(error, axis=1, keepdims=True)
        terms.append(_mean(error, weights))
    return added(terms)


def hidden_loss(teacher_states: Sequence, student_states: Sequence, padding_mask=None):
    """Returns the MSE of the embedding outputs plus the sum of the student layers' output MSEs.

    Args:
        teacher_states, student_states: [batch, tokens, teacher width] each, for the embedding and
            then for each layer; the student's are fit-projected.
    """
    weights = None
    if padding_mask is not None:
        weights = ops.cast(padding_mask, "float32")
    chosen = layer_map(len(teacher_states) - 1, len(student_states) - 1)
    terms = []
    for teacher, student in zip([0, *(layer + 1 for layer in chosen)], student_states, strict=True):
        error = ops.mean(_squared_error(teacher_states[teacher], student), axis=-1)
        terms.append(_mean(error, weights))
    return added(terms)


def relation_loss(teacher_vectors, student_vectors, heads: int, padding_mask):
    """Returns the divergence of the relations between tokens, for one kind of vector.

    MiniLMv2 (Wang et al., Findings of ACL 2021, arXiv 2012.15828), section 3.1: in each relation
    head, a token's relation to all tokens is the softmax of scaled dot products of queries with
    queries (or keys with keys, values with values). The loss is the KL divergence of the student's
    relations from the teacher's, averaged over heads and real tokens.

    Args:
        teacher_vectors, student_vectors: [batch, tokens, width]; the widths may differ.
        heads: number of relation heads; need not be that of either model's attention.

    Raises:
        ValueError: a width is not divisible by `heads`.
    """
    bias = attention_bias(padding_mask)

    def relations(vectors):
        width = vectors.shape[-1]
        if width % heads:
            raise ValueError(f"a width of {width} is not divisible by {heads} relation heads")
        size = width // heads
        by_head = ops.reshape(
            ops.cast(vectors, "float32"), (-1, ops.shape(vectors)[1], heads, size)
        )
        by_head = ops.transpose(by_head, (0, 2, 1, 3))
        products = ops.matmul(by_head, ops.transpose(by_head, (0, 1, 3, 2)))
        return ops.log_softmax(products * size**-0.5 + bias, axis=-1)

    theirs, ours = relations(teacher_vectors), relations(student_vectors)
    divergence = ops.mean(ops.sum(ops.exp(theirs) * (theirs - ours), axis=-1), axis=1)
    return _mean(divergence, ops.cast(padding_mask, "float32"))


def cosine_loss(teacher_pooled, student_pooled):
    """Returns one minus the cosine of two vectors per text, each [batch, width].

    DistilBERT (Sanh et al. 2019, arXiv 1910.01108), section 2, aligns hidden states with this loss.
    """
    theirs, ours = _unit(teacher_pooled), _unit(student_pooled)
    return ops.mean(1.0 - ops.sum(theirs * ours, axis=-1))


def contrastive_loss(teacher_pooled, student_pooled, temperature: float = 0.05):
    """Returns the cross-entropy of recognizing a text's own teacher vector in its batch.

    The logits are cosines of the student's vector with the teacher's vectors of all texts of the
    batch, divided by the temperature: Tian et al. 2020 (arXiv 1910.10699) with negatives from the
    batch, as in SimCSE (Gao et al. 2021, arXiv 2104.08821, equation 1). With several replicas, a
    batch is a replica's part. A batch of one text has no loss.

    Args:
        teacher_pooled, student_pooled: [batch, width].
    """
    theirs, ours = _unit(teacher_pooled), _unit(student_pooled)
    cosines = ops.matmul(ours, ops.transpose(theirs)) / temperature
    return -ops.mean(ops.diagonal(ops.log_softmax(cosines, axis=-1)))


def _unit(vectors):
    return ops.normalize(ops.cast(vectors, "float32"), axis=-1)
