"""Scores and predictions of a saved model."""

from tf_efficientbert.inference.evaluate import EvaluateOptions, evaluate
from tf_efficientbert.inference.predict import PredictOptions, predict

__all__ = ["EvaluateOptions", "PredictOptions", "evaluate", "predict"]
