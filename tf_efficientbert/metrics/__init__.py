"""Scores of predictions: the GLUE metrics and SQuAD exact match and F1."""

from tf_efficientbert.metrics import glue, squad

__all__ = ["glue", "squad"]
