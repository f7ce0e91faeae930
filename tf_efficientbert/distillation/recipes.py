"""What a student learns from its teacher: combinations of terms, some of them named."""

import dataclasses
import logging

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.distillation.layer_map import layer_map
from tf_efficientbert.distillation.objective import Objective
from tf_efficientbert.distillation.terms import (
    Term,
    attention_term,
    hidden_term,
    pooled_term,
    prediction_term,
    relation_term,
)
from tf_efficientbert.errors import UserError
from tf_efficientbert.tasks import Task

__all__ = ["RECIPES", "Recipe"]

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Weights and settings of the terms; a weight of 0 leaves a term out.

    The defaults are the paper's (Dong et al. 2021, section 3.3): hidden_ratio x (attention_ratio x
    attention + hidden) + prediction_ratio x prediction.

    Attributes:
        hidden_ratio: of the hidden states; also multiplies the attention scores'.
        attention_ratio: of the attention scores.
        relation_ratio: of the relations between queries, keys and values of one layer.
        pooled_ratio: of the texts' pooled vectors.
        prediction_ratio: of the head's outputs.
        layer_map: one of `LAYER_MAPS`, for hidden states and attention scores.
        relation_layer: the teacher's layer for the relations, from 1; 0 for the last.
        relation_heads: number of relation heads; 0 for as many as the teacher's attention heads.
        pooled_loss: one of `POOLED_LOSSES`.
        temperature: of the prediction loss.
        real_tokens_only: leave padding out of the means of hidden states and attention scores.
        sum_over_classes: sum the prediction loss over classes instead of averaging.
    """

    hidden_ratio: float = 1.0
    attention_ratio: float = 1.0
    relation_ratio: float = 0.0
    pooled_ratio: float = 0.0
    prediction_ratio: float = 1.0
    layer_map: str = "uniform"
    relation_layer: int = 0
    relation_heads: int = 0
    pooled_loss: str = "cosine"
    temperature: float = 1.0
    real_tokens_only: bool = False
    sum_over_classes: bool = False

    def objective(
        self, teacher: Architecture | None, student: Architecture, task: Task | None
    ) -> Objective:
        """Returns the objective of a student.

        If the numbers of attention heads differ, there is no attention loss, with a warning.

        Args:
            teacher: None if there are only its predictions: of the terms, the prediction is left.
            task: None for bare encoders, which have no predictions.

        Raises:
            UserError: a layer or number of heads does not fit the architectures; no term is left.
        """
        terms = self._encoder_terms(teacher, student) if teacher else []
        if task and self.prediction_ratio:
            terms.append(
                prediction_term(
                    self.prediction_ratio, task, self.temperature, self.sum_over_classes
                )
            )
        if not terms:
            raise UserError("the weights of all losses are 0: nothing to learn")
        return Objective(tuple(terms))

    @property
    def projects_hidden_states(self) -> bool:
        """Whether hidden states are compared, for which the student's are projected in width."""
        return bool(self.hidden_ratio or self.pooled_ratio)

    def require_text_losses(self, instead: str) -> None:
        """Raises UserError if a student would not learn from raw text, or not in every layer.

        Args:
            instead: what to set, for the message.
        """
        if not (self.projects_hidden_states or self.relation_ratio):
            raise UserError(f"no loss is left on raw text, which has no predictions: set {instead}")
        if self.layer_map == "skip" and self.hidden_ratio:
            raise UserError(
                "--layer_map=skip leaves the last layer to predictions, but raw text has none"
            )

    def _encoder_terms(self, teacher: Architecture, student: Architecture) -> list[Term]:
        terms = []
        if self.hidden_ratio:
            layers = self._layers(teacher, student)
            terms.append(hidden_term(self.hidden_ratio, layers, self.real_tokens_only))
            if self._attention_is_usable(teacher, student):
                weight = self.hidden_ratio * self.attention_ratio
                terms.append(attention_term(weight, layers, self.real_tokens_only))
        if self.relation_ratio:
            layer = (self.relation_layer or teacher.num_layers) - 1
            heads = self.relation_heads or teacher.num_heads
            self._check_relations(layer, heads, teacher, student)
            last = student.num_layers - 1
            terms.append(relation_term(self.relation_ratio, layer, last, heads))
        if self.pooled_ratio:
            terms.append(pooled_term(self.pooled_ratio, self.pooled_loss))
        return terms

    def _check_relations(
        self, layer: int, heads: int, teacher: Architecture, student: Architecture
    ) -> None:
        if layer >= teacher.num_layers:
            raise UserError(
                f"--relation_layer={layer + 1}: the teacher has {teacher.num_layers} layers"
            )
        for name, network in (("teacher", teacher), ("student", student)):
            if network.hidden_size % heads:
                whose = "" if self.relation_heads else ", as many as the teacher's attention heads,"
                raise UserError(
                    f"{heads} relation heads{whose} do not divide the {name}'s width of "
                    f"{network.hidden_size}; set --relation_heads"
                )

    def _layers(self, teacher: Architecture, student: Architecture) -> tuple[int | None, ...]:
        try:
            return layer_map(teacher.num_layers, student.num_layers, self.layer_map)
        except ValueError as error:
            raise UserError(f"--layer_map={self.layer_map}: {error}") from error

    def _attention_is_usable(self, teacher: Architecture, student: Architecture) -> bool:
        heads = teacher.num_heads, student.num_heads
        if self.attention_ratio and heads[0] != heads[1]:
            _log.warning("no attention loss: the teacher has %d heads, the student %d", *heads)
            return False
        return bool(self.attention_ratio)


RECIPES = {
    # Dong et al. 2021, with padding in the means, as in the paper's code.
    "paper": Recipe(),
    # Reads neither padding nor attention scores, so teacher outputs can be cached.
    "hidden": Recipe(attention_ratio=0.0, real_tokens_only=True, sum_over_classes=True),
    # MiniLMv2's relations, in place of hidden states: three vectors per token to cache.
    "relations": Recipe(
        hidden_ratio=0.0, attention_ratio=0.0, relation_ratio=1.0, sum_over_classes=True
    ),
    "logits": Recipe(hidden_ratio=0.0, attention_ratio=0.0, sum_over_classes=True),
}
