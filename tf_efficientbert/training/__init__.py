"""Training: options, strategy, step, checkpoints, outer loop."""

from tf_efficientbert.training.fit import fit
from tf_efficientbert.training.loop import DivergedError, train
from tf_efficientbert.training.options import TrainingOptions, make_deterministic
from tf_efficientbert.training.run_directory import RunDirectory, open_run_directory
from tf_efficientbert.training.strategy import make_strategy

__all__ = [
    "DivergedError",
    "RunDirectory",
    "TrainingOptions",
    "fit",
    "make_deterministic",
    "make_strategy",
    "open_run_directory",
    "train",
]
