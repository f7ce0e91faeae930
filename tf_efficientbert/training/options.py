"""Options of all trainings."""

import dataclasses
import math

import tensorflow as tf

from tf_efficientbert.errors import UserError
from tf_efficientbert.options import option


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Options of all trainings; raises UserError if a value is out of range."""

    epochs: float = option(3.0, "epochs over the training set; may be a fraction")
    learning_rate: float = option(5e-5, "peak learning rate (linear warm-up and decay)")
    batch_size: int = option(32, "examples per step, over all replicas")
    weight_decay: float = option(0.01, "AdamW's, on everything but biases and LayerNorms")
    clip_norm: float = option(1.0, "clip gradients to this global norm")
    dropout: float = option(0.1, "dropout rate")
    seed: int = option(0, "random seed")
    bfloat16: bool = option(False, "compute in bfloat16, keep weights in float32")
    strategy: str = option("default", "default (one device) or mirrored (all local devices)")
    checkpoint_seconds: float = option(20.0, "seconds between checkpoints")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"--{field.name}={value}: expected a finite number")
        if not 0 <= self.seed < 2**31:
            raise UserError(f"--seed={self.seed}: expected a whole number from 0 to 2**31 - 1")
        for name in ("epochs", "learning_rate", "clip_norm", "checkpoint_seconds"):
            if not getattr(self, name) > 0:
                raise UserError(f"--{name}={getattr(self, name)}: expected a number above 0")
        if self.batch_size < 1:
            raise UserError(f"--batch_size={self.batch_size}: expected a whole number above 0")
        if self.weight_decay < 0:
            raise UserError(f"--weight_decay={self.weight_decay}: expected 0 or more")
        if not 0 <= self.dropout < 1:
            raise UserError(f"--dropout={self.dropout}: expected a number from 0 to below 1")

    @property
    def dtype(self) -> str:
        """The Keras dtype policy."""
        return "mixed_bfloat16" if self.bfloat16 else "float32"

    @property
    def frozen_dtype(self) -> str:
        """The Keras dtype policy of a network that is not trained.

        It computes like `dtype`, but its weights are rounded once instead of in every step.
        """
        return "bfloat16" if self.bfloat16 else "float32"


def make_deterministic() -> None:
    """Makes all operations deterministic, which exact resume requires."""
    tf.config.experimental.enable_op_determinism()
