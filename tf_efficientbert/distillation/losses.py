"""The losses of warm-up and task distillation (Dong et al. 2021, section 3.3).

Every function returns one float32 scalar, the mean over the examples of a batch. An example's loss
is the mean over all its elements, padding included; with a `padding_mask` (int32 [batch, tokens], 1
for real tokens), it is the mean over real tokens only. Each kind of task
has its prediction loss in `tasks`; classification's is exported here too.
"""

from collections.abc import Sequence

from keras import ops

from tf_efficientbert.distillation.layer_map import layer_map
from tf_efficientbert.tasks.classification import prediction_loss

__all__ = ["attention_loss", "hidden_loss", "prediction_loss"]

_SCORE_FLOOR = -100.0  # the reference's; only masked scores are that low


def _mean(values, weights):
    """Returns the mean over examples of the (weighted) mean of each; values are [batch, ...]."""
    axes = tuple(range(1, len(values.shape)))
    if weights is None:
        return ops.mean(values)
    share = weights / ops.sum(weights, axis=axes, keepdims=True)
    return ops.mean(ops.sum(values * share, axis=axes))


def _sum(terms):
    # One operation: graph optimizers may reorder a chain of sums differently in each process.
    return ops.sum(ops.stack(terms))


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
    return _sum(terms)


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
    return _sum(terms)
