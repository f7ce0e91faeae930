"""Exports trained models as SavedModel, LiteRT, MediaPipe and Hugging Face files."""

from tf_efficientbert.export.exporter import export
from tf_efficientbert.export.huggingface import export_huggingface
from tf_efficientbert.export.litert import LiteRtModel, export_litert
from tf_efficientbert.export.mediapipe import export_mediapipe
from tf_efficientbert.export.options import ExportOptions
from tf_efficientbert.export.saved_model import ServedModel, export_saved_model

__all__ = [
    "ExportOptions",
    "LiteRtModel",
    "ServedModel",
    "export",
    "export_huggingface",
    "export_litert",
    "export_mediapipe",
    "export_saved_model",
]
