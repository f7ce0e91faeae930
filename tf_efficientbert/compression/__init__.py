"""Compression of a trained student: pruning, quantization-aware training, layer dropping."""

from tf_efficientbert.compression.compress import CompressOptions, compress
from tf_efficientbert.compression.steps import Drop, Prune, Quantize, parse_steps

__all__ = ["CompressOptions", "Drop", "Prune", "Quantize", "compress", "parse_steps"]
