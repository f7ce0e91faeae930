"""Converts TF Serving's JSON requests to arrays, and arrays to JSON responses."""

import base64
import binascii
import json
import math

import numpy as np
from google.protobuf import json_format
from tensorflow.core.example import example_pb2

from serving.batching import Arrays
from serving.servable import Signature
from serving.status import invalid
from serving.tensors import TensorSpec, check

__all__ = ["examples_of", "message_json", "parse", "predict_inputs", "predicted"]

_MOST_DIMENSIONS = 32


def parse(body: bytes) -> dict:
    """Parses a request's body.

    Raises:
        ServingError: INVALID_ARGUMENT: the body is not UTF-8, not JSON or not an object.
    """
    try:
        given = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {error}") from error
    if not isinstance(given, dict):
        raise invalid("the body is not a JSON object")
    if not isinstance(given.get("signature_name", ""), str):
        raise invalid("'signature_name' is not a string")
    return given


def predict_inputs(signature: Signature, given: dict) -> tuple[Arrays, bool]:
    """Returns the inputs of a predict request, and whether it is in row form.

    Row form: {"instances": [...]}, each the value of the only input or an object of all inputs.
    Column form: {"inputs": ...}, the array of the only input or an object of all inputs.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    if ("instances" in given) == ("inputs" in given):
        raise invalid("the body needs one of 'instances' (row form) and 'inputs' (column form)")
    row_form = "instances" in given
    columns = _columns(signature, given["instances"]) if row_form else given["inputs"]
    if not row_form and not _is_named(columns, signature):
        columns = {_only_input(signature): columns}
    return {
        name: _array(name, values, signature.inputs[name])
        for name, values in columns.items()
        if name in signature.inputs or _unknown(name, signature)
    }, row_form


def predicted(outputs: Arrays, row_form: bool) -> dict:
    """Returns the response to a predict request, in the form of the request."""
    columns = {name: _values(name, array) for name, array in outputs.items()}
    only = next(iter(columns.values())) if len(columns) == 1 else None
    if not row_form:
        return {"outputs": columns if only is None else only}
    if any(np.ndim(array) == 0 for array in outputs.values()):
        raise invalid("an output has no rows: use the column form, with 'inputs'")
    if only is not None:
        return {"predictions": only}
    rows = zip(*columns.values(), strict=True)
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}


def examples_of(given: dict) -> list[bytes]:
    """Returns the serialized tf.Examples of a classify or regress request, with the context.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    examples, context = given.get("examples"), given.get("context", {})
    if not isinstance(examples, list) or not examples:
        raise invalid("'examples' is not a list with at least one example")
    if not isinstance(context, dict) or not all(isinstance(e, dict) for e in examples):
        raise invalid("'context' and each of 'examples' must be objects of features")
    return [_example({**context, **example}) for example in examples]


def message_json(message) -> dict:
    """Converts a protocol buffer to JSON as TF Serving does."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


# === From JSON ===


def _columns(signature: Signature, instances) -> dict[str, list]:
    if not isinstance(instances, list) or not instances:
        raise invalid("'instances' is not a list with at least one instance")
    if not _is_named(instances[0], signature):
        return {_only_input(signature): instances}
    names = instances[0].keys()
    for i, instance in enumerate(instances):
        if not isinstance(instance, dict) or instance.keys() != names:
            raise invalid(f"instance {i} does not name the inputs {sorted(names)} of the first")
    return {name: [instance[name] for instance in instances] for name in names}


def _is_named(value, signature: Signature) -> bool:
    """Returns whether a value is an object of inputs, not base64 bytes."""
    return isinstance(value, dict) and not (_is_base64(value) and "b64" not in signature.inputs)


def _is_base64(value) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"}


def _only_input(signature: Signature) -> str:
    if len(signature.inputs) != 1:
        raise invalid(
            f"signature {signature.name!r} has several inputs, {sorted(signature.inputs)}: name "
            "each of them"
        )
    return next(iter(signature.inputs))


def _unknown(name: str, signature: Signature) -> bool:
    raise invalid(
        f"signature {signature.name!r} has no input {name!r}; it takes {sorted(signature.inputs)}"
    )


def _array(name: str, values, spec: TensorSpec) -> np.ndarray:
    """Converts nested lists; ragged lists and values out of range are INVALID_ARGUMENT."""
    if spec.dtype is None:
        raise invalid(f"input {name!r} has a type that is not supported")
    shape = _shape(values)
    check(name, shape, spec)
    if len(shape) > _MOST_DIMENSIONS:
        raise invalid(f"input {name!r} has {len(shape)} dimensions")
    flat = list(_leaves(name, values, shape))
    if spec.dtype.hasobject:
        array = np.empty(len(flat), dtype=object)
        array[:] = [_bytes(name, value) for value in flat]
        return array.reshape(shape)
    _check_numbers(name, flat, spec.dtype)
    return np.array(flat, dtype=spec.dtype).reshape(shape)


def _shape(values) -> tuple[int, ...]:
    shape = []
    while isinstance(values, list):
        shape.append(len(values))
        if not values:
            break
        values = values[0]
    return tuple(shape)


def _leaves(name: str, values, shape: tuple[int, ...]):
    if not shape:
        if isinstance(values, list):
            raise invalid(f"input {name!r}: lists are nested deeper in some places than in others")
        yield values
        return
    if not isinstance(values, list) or len(values) != shape[0]:
        raise invalid(f"input {name!r}: lists differ in length; expected shape {list(shape)}")
    if len(shape) == 1:
        if any(isinstance(value, list) for value in values):
            raise invalid(f"input {name!r}: lists are nested deeper in some places than in others")
        yield from values
        return
    for value in values:
        yield from _leaves(name, value, shape[1:])


def _bytes(name: str, value) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode("utf-8")
        except UnicodeEncodeError as error:  # lone surrogate
            raise invalid(f"input {name!r}: {error}") from error
    if _is_base64(value) and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise invalid(f"input {name!r}: not base64: {error}") from error
    raise invalid(f"input {name!r}: expected a string or {{'b64': ...}}, found {_short(value)}")


def _check_numbers(name: str, flat: list, dtype: np.dtype) -> None:
    if dtype.kind == "b":
        wrong = [value for value in flat if not isinstance(value, bool)]
    elif dtype.kind in "iu":
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        wrong = [v for v in flat if type(v) is not int or not low <= v <= high]
    else:
        most = float(np.finfo(dtype).max) if dtype.kind == "f" else 3.3e38
        wrong = [
            v
            for v in flat
            if type(v) not in (int, float) or (abs(v) > most and not _is_infinite(v))
        ]
    if wrong:
        raise invalid(f"input {name!r} takes {dtype}, found {_short(wrong[0])}")


def _is_infinite(value) -> bool:
    return isinstance(value, float) and math.isinf(value)


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _example(features: dict) -> bytes:
    example = example_pb2.Example()
    for name, values in features.items():
        try:
            feature = example.features.feature[name]
        except UnicodeEncodeError as error:
            raise invalid(f"feature {_short(name)}: {error}") from error
        _fill(name, feature, values if isinstance(values, list) else [values])
    return example.SerializeToString()


def _fill(name: str, feature, values: list) -> None:
    """Sets a feature: strings and base64 as bytes, integers as int64, other numbers as float."""
    try:
        if all(type(value) is int for value in values):
            feature.int64_list.value.extend(values)
        elif all(type(value) in (int, float) for value in values):
            feature.float_list.value.extend(values)
        else:
            feature.bytes_list.value.extend(_bytes(name, value) for value in values)
    except (ValueError, OverflowError) as error:
        raise invalid(f"feature {name!r}: {error}") from error


# === To JSON ===


def _values(name: str, array: np.ndarray):
    """Converts to nested lists; bytes to text, or to base64 if named *_bytes or not UTF-8."""
    if not array.dtype.hasobject:
        return array.tolist()
    flat = [_text(name, value) for value in array.ravel().tolist()]
    texts = np.empty(len(flat), dtype=object)
    texts[:] = flat
    return texts.reshape(array.shape).tolist()


def _text(name: str, value: bytes):
    if not name.endswith("_bytes"):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return {"b64": base64.b64encode(value).decode("ascii")}
