"""The losses of warm-up and task distillation (Dong et al. 2021, section 3.3).

Every function returns one float32 scalar: the mean over the examples of a batch, each example's
loss being a mean over all of its elements, padding included. With a `padding_mask` (int32 [batch,
tokens], 1 for real tokens) an example's mean runs over its real tokens alone. The prediction
losses, one a kind of task, are in `tasks`.
"""

from collections.abc import Sequence

from keras import ops

from tf_efficientbert.distillation.layer_map import layer_map
from tf_efficientbert.tasks.classification import prediction_loss

__all__ = ["attention_loss", "hidden_loss", "prediction_loss"]

_SCORE_FLOOR = -100.0


def _mean(values, weights):
    """Mean over examples of each example's (weighted) mean over its elements; [batch, ...]."""
    axes = tuple(range(1, len(values.shape)))
    if weights is None:
        return ops.mean(values)
    share = weights / ops.sum(weights, axis=axes, keepdims=True)
    return ops.mean(ops.sum(values * share, axis=axes))


def _sum(terms):
    # One operation: a graph optimizer may add up a chain of sums in another order in each process.
    return ops.sum(ops.stack(terms))


def _squared_error(a, b):
    return ops.square(ops.cast(a, "float32") - ops.cast(b, "float32"))


def attention_loss(teacher_scores: Sequence, student_scores: Sequence, padding_mask=None):
    """Sum over student layers of the MSE between attention scores before softmax.

    Args:
        teacher_scores, student_scores: one [batch, heads, tokens, tokens] a layer; the teacher's
            layers are chosen by `layer_map`. Entries of -100 and less, the masked ones, count as 0.

    Raises:
        ValueError: the two have different numbers of heads.
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
        if weights is not None:  # the mean over heads first: every head has the same mask
            error = ops.mean(error, axis=1, keepdims=True)
        terms.append(_mean(error, weights))
    return _sum(terms)


def hidden_loss(teacher_states: Sequence, student_states: Sequence, padding_mask=None):
    """MSE of the embedding outputs plus the sum over student layers of the MSE of layer outputs.

    Args:
        teacher_states, student_states: [batch, tokens, teacher width] each, the embedding's output
            first and then one a layer; the student's are fit-projected.
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
