"""What a student is asked to match."""

import dataclasses

import keras

from tf_efficientbert.data.batching import MODEL_INPUTS
from tf_efficientbert.distillation.losses import attention_loss, hidden_loss
from tf_efficientbert.tasks import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective:
    """hidden_ratio x (attention_ratio x attention + hidden) + prediction_ratio x prediction.

    Dong et al. 2021, section 3.3; the paper's ratios are all 1. General distillation runs on bare
    encoders and has no prediction term.

    Attributes:
        temperature: of the prediction loss.
        real_tokens_only: leave padding out of the attention and hidden losses' means.
        sum_over_classes: sum the prediction loss over classes instead of averaging.
        task: whose prediction loss is taken; None for bare encoders, which predict nothing.
        layers: the teacher layer, from 0, of each student layer; None for `layer_map`'s.
    """

    hidden_ratio: float = 1.0
    attention_ratio: float = 1.0
    prediction_ratio: float = 1.0
    temperature: float = 1.0
    real_tokens_only: bool = False
    sum_over_classes: bool = False
    task: Task | None = None
    layers: tuple[int, ...] | None = None

    def losses(self, teacher, student, batch, dropout_seed=None) -> dict:
        """All terms and their weighted sum, "loss", on one batch.

        Args:
            teacher, student: EfficientBert or TaskModel, both of one kind; the teacher runs in
                inference mode and gets no gradient.
            batch: see `data.batching`; "labels" are read by regression alone.
        """
        inputs = {name: batch[name] for name in MODEL_INPUTS}
        theirs = teacher(inputs, training=False)
        ours = student(inputs, training=True, dropout_seed=dropout_seed)
        return self.compare(theirs, ours, batch)

    def compare(self, theirs, ours, batch, hidden_scale=1.0, prediction_scale=1.0) -> dict:
        """`losses` of what teacher and student said already: several students can share a teacher.

        Args:
            theirs, ours: outputs of EfficientBert or TaskModel, both of one kind.
            hidden_scale, prediction_scale: scalar tensors or floats, on the losses besides their
                ratios: 0 where the teacher has no hidden states, or, on raw text, no predictions.
        """
        theirs = keras.tree.map_structure(keras.ops.stop_gradient, theirs)
        mask = batch["padding_mask"] if self.real_tokens_only else None
        terms, total = {}, 0.0
        if self.hidden_ratio:
            states = theirs["hidden_states"]
            if self.layers is not None:
                states = [states[0], *(states[layer + 1] for layer in self.layers)]
            terms["hidden"] = hidden_loss(states, ours["hidden_states"], mask)
            total = self.hidden_ratio * terms["hidden"]
        if self.hidden_ratio and self.attention_ratio:
            scores = theirs["attention_scores"]
            if self.layers is not None:
                scores = [scores[layer] for layer in self.layers]
            terms["attention"] = attention_loss(scores, ours["attention_scores"], mask)
            total = total + self.hidden_ratio * self.attention_ratio * terms["attention"]
        total = hidden_scale * total
        if self.prediction_ratio and self.task and self.task.output_names[0] in ours:
            terms["prediction"] = prediction_scale * self.task.distillation_loss(
                theirs, ours, batch, self.temperature, self.sum_over_classes
            )
            total = total + self.prediction_ratio * terms["prediction"]
        return {"loss": total, **terms}
