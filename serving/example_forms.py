"""Classify and Regress, whose inputs are serialized tf.Examples."""

import grpc
import numpy as np

from serving.batching import Arrays
from serving.servable import Servable
from serving.status import ServingError, invalid

__all__ = ["classify", "regress"]

_INPUT, _CLASSES, _SCORES, _VALUES = "inputs", "classes", "scores", "outputs"


def classify(
    servable: Servable, signature_name: str, examples: list[bytes], deadline: float | None
) -> list[list[tuple[str, float]]]:
    """Returns the classes and scores of each example, in the signature's order.

    Raises:
        ServingError: the signature is not a classify signature (INVALID_ARGUMENT, as in TF
            Serving), there are no examples, or as `Signature.run`.
    """
    name, outputs = _run(servable, signature_name, "classify", examples, deadline)
    classes, scores = outputs.get(_CLASSES), outputs.get(_SCORES)
    if classes is None and scores is None:
        raise invalid(f"signature {name!r} has neither {_CLASSES!r} nor {_SCORES!r}")
    shape = (classes if scores is None else scores).shape
    if len(shape) != 2 or (classes is not None and classes.shape != shape):
        raise _malformed(name, shape)
    labels = np.full(shape, b"", dtype=object) if classes is None else classes
    values = np.zeros(shape) if scores is None else scores
    return [
        [(label.decode("utf-8", "replace"), score) for label, score in zip(*row, strict=True)]
        for row in zip(labels.tolist(), values.tolist(), strict=True)
    ]


def regress(
    servable: Servable, signature_name: str, examples: list[bytes], deadline: float | None
) -> list[float]:
    """Returns the value of each example.

    Raises:
        ServingError: as `classify`, for a regress signature.
    """
    name, outputs = _run(servable, signature_name, "regress", examples, deadline)
    values = outputs.get(_VALUES)
    if values is None:
        raise invalid(f"signature {name!r} has no {_VALUES!r}")
    if values.shape not in ((len(examples),), (len(examples), 1)):
        raise _malformed(name, values.shape)
    return values.ravel().tolist()


def _run(
    servable: Servable,
    signature_name: str,
    form: str,
    examples: list[bytes],
    deadline: float | None,
) -> tuple[str, Arrays]:
    """Returns the signature's name and its outputs."""
    signature, method = servable.signature(signature_name), f"tensorflow/serving/{form}"
    if signature.method_name != method:
        raise invalid(
            f"a {form} request needs a signature with method_name {method}, but "
            f"{signature.name!r} has {signature.method_name}: set another signature_name"
        )
    if not examples:
        raise invalid("the request has no examples")
    return signature.name, signature.run({_INPUT: np.array(examples, dtype=object)}, deadline)


def _malformed(name: str, shape: tuple[int, ...]) -> ServingError:
    text = f"signature {name!r} returned an output of unexpected shape {shape}"
    return ServingError(grpc.StatusCode.INTERNAL, text)
