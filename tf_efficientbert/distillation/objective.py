"""The distillation loss of a student: a weighted sum of terms."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

from keras import ops

from tf_efficientbert.data.batching import MODEL_INPUTS
from tf_efficientbert.distillation.losses import added
from tf_efficientbert.distillation.outputs import named_outputs, output_of
from tf_efficientbert.distillation.terms import Term

__all__ = ["Objective"]


@dataclasses.dataclass(frozen=True)
class Objective:
    """The sum of weight x loss over its terms.

    What the terms read decides what a teacher computes and what is cached of it.
    """

    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        if len({term.name for term in self.terms}) < len(self.terms):
            raise ValueError(f"two terms have one name: {[term.name for term in self.terms]}")

    @property
    def teacher_reads(self) -> tuple[str, ...]:
        """The names of all teacher outputs that the terms read, see `outputs`."""
        return _names(self.terms)

    @property
    def encoder_reads(self) -> tuple[str, ...]:
        """Those of them that a teacher without a task head has."""
        return _names(term for term in self.terms if not term.of_the_head)

    @property
    def ignores_padding(self) -> bool:
        """Whether padding does not change the loss."""
        return all(term.ignores_padding for term in self.terms)

    def scales(self, supplied: Collection[str], on_text: bool = False) -> tuple[float, ...]:
        """Returns 1 for each term that applies, 0 for the others.

        Args:
            supplied: the teacher outputs that there are; a term needs all that it reads.
            on_text: on raw text, which has no labels, terms of the head do not apply.
        """

        def applies(term: Term) -> bool:
            return set(term.teacher_reads) <= set(supplied) and not (on_text and term.of_the_head)

        return tuple(float(applies(term)) for term in self.terms)

    def losses(self, teacher, student, batch, dropout_seed=None, choices=None) -> dict:
        """Returns the loss of each term by name and their weighted sum, "loss", for one batch.

        Args:
            teacher, student: both EfficientBert or both TaskModel; the teacher runs in inference
                mode and gets no gradient.
            batch: see `data.batching`; only regression reads "labels".
            choices: the slice of a supernet that learns, see `EfficientBert.call`.
        """
        inputs = {name: batch[name] for name in MODEL_INPUTS}
        teacher_outputs = named_outputs(teacher(inputs, training=False), self.teacher_reads)
        student_outputs = student(inputs, training=True, dropout_seed=dropout_seed, choices=choices)
        return self.compare(teacher_outputs, student_outputs, batch)

    def compare(
        self,
        teacher_outputs: Mapping,
        student_outputs: Mapping,
        batch: Mapping,
        scales: Sequence | None = None,
    ) -> dict:
        """Returns `losses` for given outputs, so that several students can share a teacher pass.

        Args:
            teacher_outputs: {name: tensor} of `teacher_reads`.
            student_outputs: of EfficientBert or TaskModel.
            scales: additional factors, one per term: scalar tensors or floats; see `scales`.
        """
        losses = {}
        for term in self.terms:
            theirs = [ops.stop_gradient(teacher_outputs[name]) for name in term.teacher_reads]
            ours = [output_of(student_outputs, name) for name in term.student_reads]
            losses[term.name] = term.loss(theirs, ours, batch)
        factors = [term.weight for term in self.terms]
        if scales is not None:
            factors = [scale * factor for scale, factor in zip(scales, factors, strict=True)]
        weighted = [factor * loss for factor, loss in zip(factors, losses.values(), strict=True)]
        return {"loss": added(weighted), **losses}


def _names(terms: Iterable[Term]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for term in terms for name in term.teacher_reads))
