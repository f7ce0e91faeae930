"""Several fine-tuned teachers in place of one."""

from collections.abc import Sequence

import keras

from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.models.task_model import TaskModel

__all__ = ["TeacherEnsemble"]


class TeacherEnsemble(keras.Model):
    """Teachers whose head outputs are averaged; all other outputs are those of the first one.

    Averaging logits is the geometric mean of the probabilities (Hinton et al. 2015, arXiv
    1503.02531, section 1, distil such an ensemble into one network).

    Args:
        members: TaskModels for one task and vocabulary.
        shares: the weight of each in the mean; they sum to 1.
    """

    def __init__(self, members: Sequence[TaskModel], shares: Sequence[float], **kwargs):
        super().__init__(**kwargs)
        self.members = list(members)
        # A variable, so that the fingerprint of cached outputs covers it.
        self.shares = self.add_weight(
            shape=(len(members),), trainable=False, dtype="float32", name="shares"
        )
        self.shares.assign(list(shares))
        self.built = True

    @property
    def backbone(self) -> EfficientBert:
        """The first teacher's."""
        return self.members[0].backbone

    def call(self, inputs, training=False):
        """Returns the first teacher's outputs with averaged outputs of the heads."""
        encoded = [member.backbone(inputs, training=training) for member in self.members]
        predicted = [
            member.head(outputs["sequence_output"], training=training)
            for member, outputs in zip(self.members, encoded, strict=True)
        ]
        averaged = {
            name: sum(self.shares[i] * outputs[name] for i, outputs in enumerate(predicted))
            for name in predicted[0]
        }
        return {**encoded[0], **averaged}

    def rebuilt(self, **changes) -> "TeacherEnsemble":
        """See `TaskModel.rebuilt`, for all members."""
        members = [member.rebuilt(**changes) for member in self.members]
        return TeacherEnsemble(members, keras.ops.convert_to_numpy(self.shares).tolist())
