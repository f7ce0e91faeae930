"""The classify form: serialized tf.Examples in, classes and scores out."""

import grpc
import numpy as np

from serving.servable import Servable
from serving.status import ServingError, invalid

__all__ = ["classify"]

_METHOD = "tensorflow/serving/classify"
_INPUT, _CLASSES, _SCORES = "inputs", "classes", "scores"


def classify(
    servable: Servable, signature_name: str, examples: list[bytes], deadline: float | None
) -> list[list[tuple[str, float]]]:
    """For each example its classes with their scores, in the signature's order.

    Raises:
        ServingError: the signature is not of the classify form (INVALID_ARGUMENT, as in TF
            Serving), there are no examples, or as `Signature.run`.
    """
    signature = servable.signature(signature_name)
    if signature.method_name != _METHOD:
        raise invalid(
            f"Expected classification signature method_name to be {_METHOD}. Was: "
            f"{signature.method_name}. Name a signature of that form as signature_name"
        )
    if not examples:
        raise invalid("the request has no examples")
    outputs = signature.run({_INPUT: np.array(examples, dtype=object)}, deadline)
    classes, scores = outputs.get(_CLASSES), outputs.get(_SCORES)
    if classes is None and scores is None:
        raise invalid(f"signature {signature.name!r} has neither {_CLASSES!r} nor {_SCORES!r}")
    shape = (classes if scores is None else scores).shape
    if len(shape) != 2 or (classes is not None and classes.shape != shape):
        raise ServingError(
            grpc.StatusCode.INTERNAL, f"signature {signature.name!r} answers in shape {shape}"
        )
    labels = np.full(shape, b"", dtype=object) if classes is None else classes
    values = np.zeros(shape) if scores is None else scores
    return [
        [(label.decode("utf-8", "replace"), score) for label, score in zip(*row, strict=True)]
        for row in zip(labels.tolist(), values.tolist(), strict=True)
    ]
