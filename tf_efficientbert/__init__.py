"""EfficientBERT for TensorFlow: search, distil and deploy small BERTs."""

import importlib

from tf_efficientbert.architecture import Architecture, CellSpec
from tf_efficientbert.errors import UserError

_PACKAGES = (
    *("architecture", "data", "distillation", "export", "metrics", "models", "pipeline"),
    *("tasks", "training"),
)

__all__ = ["Architecture", "CellSpec", "UserError", *_PACKAGES]


def __getattr__(name: str):
    # Imported on first use: importing TensorFlow takes seconds.
    if name in _PACKAGES:
        return importlib.import_module(f"tf_efficientbert.{name}")
    raise AttributeError(f"module 'tf_efficientbert' has no attribute {name!r}")
