"""The terms of a distillation objective."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from tf_efficientbert.distillation.losses import (
    added,
    attention_loss,
    contrastive_loss,
    cosine_loss,
    hidden_loss,
    relation_loss,
)
from tf_efficientbert.distillation.outputs import layer_output
from tf_efficientbert.tasks import Task

__all__ = [
    "POOLED_LOSSES",
    "Term",
    "attention_term",
    "hidden_term",
    "pooled_term",
    "prediction_term",
    "relation_term",
]

POOLED_LOSSES = {"cosine": cosine_loss, "contrastive": contrastive_loss}

Layers = Sequence[int | None]  # the teacher layer of each student layer, see `layer_map`


@dataclasses.dataclass(frozen=True)
class Term:
    """One weighted loss of a student's outputs against its teacher's.

    Attributes:
        name: of the loss in histories.
        weight: its factor in the objective.
        teacher_reads, student_reads: names of the outputs that the loss takes, see `outputs`.
        loss: (teacher's outputs, student's outputs, batch) -> a float32 scalar; the outputs are
            lists in the order of the names.
        ignores_padding: whether padding does not change the loss, so that teacher outputs may be
            cached without it.
        of_the_head: whether it compares the task head's outputs, not the encoder's.
    """

    name: str
    weight: float
    teacher_reads: tuple[str, ...]
    student_reads: tuple[str, ...]
    loss: Callable[[list, list, Mapping], object]
    ignores_padding: bool
    of_the_head: bool = False


def hidden_term(weight: float, layers: Layers, real_tokens_only: bool = False) -> Term:
    """Returns `hidden_loss` of the embedding's output and of each mapped layer's."""
    states = [(0, 0), *((theirs + 1, ours + 1) for theirs, ours in _mapped(layers))]

    def loss(theirs, ours, batch):
        return hidden_loss(theirs, ours, batch["padding_mask"] if real_tokens_only else None)

    return Term("hidden", weight, *_by_layer("hidden_states", states), loss, real_tokens_only)


def attention_term(weight: float, layers: Layers, real_tokens_only: bool = False) -> Term:
    """Returns `attention_loss` of each mapped layer."""

    def loss(theirs, ours, batch):
        return attention_loss(theirs, ours, batch["padding_mask"] if real_tokens_only else None)

    reads = _by_layer("attention_scores", _mapped(layers))
    return Term("attention", weight, *reads, loss, real_tokens_only)


def relation_term(weight: float, teacher_layer: int, student_layer: int, heads: int) -> Term:
    """Returns the sum of `relation_loss` of queries, keys and values of one layer, 0-based."""
    theirs, ours = (
        tuple(layer_output(kind, layer) for kind in ("queries", "keys", "values"))
        for layer in (teacher_layer, student_layer)
    )

    def loss(theirs, ours, batch):
        kinds = zip(theirs, ours, strict=True)
        return added([relation_loss(*pair, heads, batch["padding_mask"]) for pair in kinds])

    return Term("relations", weight, theirs, ours, loss, ignores_padding=True)


def pooled_term(weight: float, kind: str) -> Term:
    """Returns a loss of the mean of a text's last hidden states; `kind` of `POOLED_LOSSES`."""
    compare = POOLED_LOSSES[kind]
    return Term(
        name="pooled",
        weight=weight,
        teacher_reads=("pooled",),
        student_reads=("pooled",),
        loss=lambda theirs, ours, batch: compare(*theirs, *ours),
        ignores_padding=True,
    )


def prediction_term(
    weight: float, task: Task, temperature: float = 1.0, sum_over_classes: bool = False
) -> Term:
    """Returns the task's distillation loss of the head's outputs."""
    reads = task.distilled_outputs, task.output_names

    def loss(theirs, ours, batch):
        named = (dict(zip(*pair, strict=True)) for pair in zip(reads, (theirs, ours), strict=True))
        return task.distillation_loss(*named, batch, temperature, sum_over_classes)

    # Losses of logits per token mask padding themselves.
    return Term("prediction", weight, *reads, loss, ignores_padding=True, of_the_head=True)


def _mapped(layers: Layers) -> list[tuple[int, int]]:
    return [(theirs, ours) for ours, theirs in enumerate(layers) if theirs is not None]


def _by_layer(key: str, pairs: Sequence[tuple[int, int]]) -> tuple[tuple[str, ...], ...]:
    """Returns the teacher's names and the student's for pairs of layers."""
    return tuple(
        tuple(layer_output(key, layer) for layer in side) for side in zip(*pairs, strict=True)
    )
