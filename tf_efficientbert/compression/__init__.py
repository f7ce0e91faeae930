"""Compression of a trained student: pruning, quantization, dropped layers, less vocabulary."""

from tf_efficientbert.compression.compress import CompressOptions, compress
from tf_efficientbert.compression.steps import Drop, Prune, Quantize, Vocabulary, parse_steps

__all__ = ["CompressOptions", "Drop", "Prune", "Quantize", "Vocabulary", "compress", "parse_steps"]
