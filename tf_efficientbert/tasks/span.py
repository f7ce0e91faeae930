"""Extractive question answering: the answer is a span of a context (SQuAD)."""

from dataclasses import dataclass
from typing import ClassVar

from keras import ops

from tf_efficientbert.errors import UserError
from tf_efficientbert.layers.self_attention import MASKED_SCORE
from tf_efficientbert.tasks.classification import prediction_loss
from tf_efficientbert.tasks.span_head import SpanHead
from tf_efficientbert.tasks.task import Task

__all__ = ["Span", "span_loss"]


def span_loss(
    teacher_logits,
    student_logits,
    padding_mask,
    mask_first: bool = True,
    temperature: float = 1.0,
    sum_over_classes: bool = False,
):
    """SQuAD's prediction loss, start plus end.

    Args:
        teacher_logits, student_logits: pairs (start, end) of [batch, tokens].
        padding_mask: int32 [batch, tokens]; -10,000 is added to both sides' logits at padding.
        mask_first: bool, treat [CLS] as padding, as the reference does; False for v2.0, where
            [CLS] has the null score.
        temperature: see `prediction_loss`; the classes are the tokens.
        sum_over_classes: bool, see there.
    """
    bias = (1 - ops.cast(padding_mask, "float32")) * MASKED_SCORE
    if mask_first:
        first = ops.cast(ops.arange(ops.shape(padding_mask)[1]) == 0, "float32")
        bias = ops.minimum(bias, first * MASKED_SCORE)
    loss = sum(
        prediction_loss(
            ops.cast(teacher, "float32") + bias, ops.cast(student, "float32") + bias, temperature
        )
        for teacher, student in zip(teacher_logits, student_logits, strict=True)
    )
    # Here rather than in `prediction_loss`: a graph does not know the number of tokens.
    return loss * ops.cast(ops.shape(padding_mask)[1], "float32") if sum_over_classes else loss


@dataclass(frozen=True)
class Span(Task):
    """A question and a context: the answer is a span of the context.

    Args:
        may_be_unanswerable: whether [CLS] stands for "no answer", as in SQuAD 2.0.
    """

    kind: ClassVar[str] = "span"
    known_metrics: ClassVar[tuple[str, ...]] = ("f1", "exact_match")
    num_default_metrics: ClassVar[int] = 2
    served_as: ClassVar[str] = "answer"
    has_classes: ClassVar[bool] = False
    output_names: ClassVar[tuple[str, ...]] = ("start_logits", "end_logits")
    distilled_outputs: ClassVar[tuple[str, ...]] = output_names

    labels: tuple[str, ...] = ()
    pair: bool = True
    may_be_unanswerable: bool = False

    def check_labels(self) -> None:
        if self.labels or not self.pair:
            raise UserError(f"task {self.name!r} is a span: it needs pairs of texts and no labels")

    @property
    def served_texts(self) -> tuple[str, ...]:
        return "question", "context"

    def new_head(self, hidden_size: int, dropout: float, **kwargs) -> SpanHead:
        return SpanHead(hidden_size, **kwargs)

    def blank_outputs(self, token_ids) -> dict:
        return {name: ops.zeros_like(token_ids, dtype="float32") for name in self.output_names}

    def distillation_loss(self, theirs, ours, batch, temperature, sum_over_classes):
        pairs = [tuple(side[name] for name in self.output_names) for side in (theirs, ours)]
        return span_loss(
            *pairs,
            batch["padding_mask"],
            not self.may_be_unanswerable,
            temperature,
            sum_over_classes,
        )

    @property
    def described_outputs(self) -> tuple[str, str]:
        scores = "`score`, `no_answer_score`"
        text = f"`answer`, {scores}, `start`, `end` [batch], the last two in characters"
        return text, "`start_logits`, `end_logits` [batch, tokens]"

    @property
    def described_answer(self) -> str:
        return "the part of the context that answers it"
