"""Converts gRPC requests to arrays."""

from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import input_pb2, predict_pb2

from serving.batching import Arrays
from serving.servable import Signature
from serving.status import invalid
from serving.tensors import to_array

__all__ = ["MAX_REQUEST_BYTES", "predict_inputs", "serialized_examples"]

MAX_REQUEST_BYTES = 4 * 1024 * 1024


def predict_inputs(
    signature: Signature, request: predict_pb2.PredictRequest, largest: int
) -> Arrays:
    """Returns the inputs of a PredictRequest by name.

    Args:
        signature: the requested signature.
        request: the request.
        largest: int, the most elements of an input.

    Raises:
        ServingError: INVALID_ARGUMENT: an unknown input, or as `to_array`. Missing inputs are
            detected by `Signature.run`.
    """
    unknown = sorted(set(request.inputs) - signature.inputs.keys())
    if unknown:
        raise invalid(
            f"signature {signature.name!r} has no input {unknown}; it takes "
            f"{sorted(signature.inputs)}"
        )
    return {
        name: to_array(name, request.inputs[name], spec, largest)
        for name, spec in signature.inputs.items()
        if name in request.inputs
    }


def serialized_examples(given: input_pb2.Input) -> list[bytes]:
    """Returns the serialized tf.Examples of a classify or regress request.

    Each gets the features of the context; its own features take precedence.
    """
    if given.WhichOneof("kind") != "example_list_with_context":
        return [example.SerializeToString() for example in given.example_list.examples]
    with_context = given.example_list_with_context
    merged = []
    for example in with_context.examples:
        whole = example_pb2.Example()
        whole.CopyFrom(with_context.context)
        for name, feature in example.features.feature.items():
            whole.features.feature[name].CopyFrom(feature)
        merged.append(whole.SerializeToString())
    return merged
