"""The distillation loss of a student."""

import dataclasses

import keras

from tf_efficientbert.data.batching import MODEL_INPUTS
from tf_efficientbert.distillation.losses import attention_loss, hidden_loss
from tf_efficientbert.tasks import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective:
    """hidden_ratio x (attention_ratio x attention + hidden) + prediction_ratio x prediction.

    Dong et al. 2021, section 3.3; all ratios are 1 in the paper. General distillation trains bare
    encoders, without the prediction term.

    Attributes:
        temperature: of the prediction loss.
        real_tokens_only: leave padding out of the attention and hidden losses' means.
        sum_over_classes: sum the prediction loss over classes instead of averaging.
        task: provides the prediction loss; None for bare encoders.
        layers: 0-based teacher layer of each student layer; None for `layer_map`.
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
        """Returns all terms and their weighted sum, "loss", for one batch.

        Args:
            teacher, student: both EfficientBert or both TaskModel; the teacher runs in inference
                mode and gets no gradient.
            batch: see `data.batching`; only regression reads "labels".
        """
        inputs = {name: batch[name] for name in MODEL_INPUTS}
        teacher_outputs = teacher(inputs, training=False)
        student_outputs = student(inputs, training=True, dropout_seed=dropout_seed)
        return self.compare(teacher_outputs, student_outputs, batch)

    def compare(
        self, teacher_outputs, student_outputs, batch, hidden_scale=1.0, prediction_scale=1.0
    ) -> dict:
        """Returns `losses` for given outputs, so that several students can share a teacher pass.

        Args:
            teacher_outputs, student_outputs: both of EfficientBert or both of TaskModel.
            hidden_scale, prediction_scale: additional factors of the losses, scalar tensors or
                floats; 0 if the teacher has no hidden states or, on raw text, no predictions.
        """
        teacher_outputs = keras.tree.map_structure(keras.ops.stop_gradient, teacher_outputs)
        mask = batch["padding_mask"] if self.real_tokens_only else None
        terms, total = {}, 0.0
        if self.hidden_ratio:
            states = teacher_outputs["hidden_states"]
            if self.layers is not None:
                states = [states[0], *(states[layer + 1] for layer in self.layers)]
            terms["hidden"] = hidden_loss(states, student_outputs["hidden_states"], mask)
            total = self.hidden_ratio * terms["hidden"]
        if self.hidden_ratio and self.attention_ratio:
            scores = teacher_outputs["attention_scores"]
            if self.layers is not None:
                scores = [scores[layer] for layer in self.layers]
            terms["attention"] = attention_loss(scores, student_outputs["attention_scores"], mask)
            total = total + self.hidden_ratio * self.attention_ratio * terms["attention"]
        total = hidden_scale * total
        if self.prediction_ratio and self.task and self.task.output_names[0] in student_outputs:
            terms["prediction"] = prediction_scale * self.task.distillation_loss(
                teacher_outputs, student_outputs, batch, self.temperature, self.sum_over_classes
            )
            total = total + self.prediction_ratio * terms["prediction"]
        return {"loss": total, **terms}
