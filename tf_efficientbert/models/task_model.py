"""An encoder with a task head."""

import keras

from tf_efficientbert.layers.dropout import fold_in
from tf_efficientbert.models.efficientbert import EfficientBert

_HEAD_SEED_INDEX = 10_000  # above every layer's index


@keras.saving.register_keras_serializable(package="tf_efficientbert")
class TaskModel(keras.Model):
    """Maps token ids to logits, and returns the intermediate outputs for distillation.

    Args:
        backbone: EfficientBert.
        head: ClassificationHead or SpanHead.
    """

    def __init__(self, backbone: EfficientBert, head: keras.layers.Layer, **kwargs):
        super().__init__(**kwargs)
        self.backbone = backbone
        self.head = head
        self.build()

    def build(self, input_shape=None):
        if not self.head.built:  # a head loaded from a file is already built
            self.head.build((None, None, self.backbone.architecture.hidden_size))
        self.built = True

    def call(self, inputs, training=False, dropout_seed=None, cells=None, choices=None):
        """Returns the backbone's outputs (see `EfficientBert.call`) and the head's in one dict."""
        outputs = self.backbone(
            inputs, training=training, dropout_seed=dropout_seed, cells=cells, choices=choices
        )
        logits = self.head(
            outputs["sequence_output"],
            dropout_seed=fold_in(dropout_seed, _HEAD_SEED_INDEX),
            training=training,
        )
        return {**outputs, **logits}

    def rebuilt(self, **changes) -> "TaskModel":
        """See `EfficientBert.rebuilt`; arguments that the head also has change in both."""
        return self.with_backbone(self.backbone.rebuilt(**changes), **changes)

    def with_backbone(self, backbone: EfficientBert, **changes) -> "TaskModel":
        """Returns a model of `backbone` and a copy of the head, with its arguments in `changes`."""
        config = {**self.head.get_config(), "name": "head"}
        config |= {key: value for key, value in changes.items() if key in config}
        copy = TaskModel(backbone, type(self.head).from_config(config), name="task_model")
        copy.head.set_weights(self.head.get_weights())
        return copy

    def get_config(self):
        return {
            **super().get_config(),
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "head": keras.saving.serialize_keras_object(self.head),
        }

    @classmethod
    def from_config(cls, config):
        parts = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("backbone", "head")
        }
        return cls(**{**config, **parts})
