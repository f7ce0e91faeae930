"""Converts TensorProto to NumPy arrays and back, with checks."""

import dataclasses
import math

import ml_dtypes
import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.status import invalid

__all__ = ["TensorSpec", "check", "dtype_name", "fill", "to_array"]

# The field of a TensorProto that holds the values of a type, and the type as an array.
_KINDS = {
    types_pb2.DT_FLOAT: ("float_val", np.dtype(np.float32)),
    types_pb2.DT_DOUBLE: ("double_val", np.dtype(np.float64)),
    types_pb2.DT_INT8: ("int_val", np.dtype(np.int8)),
    types_pb2.DT_INT16: ("int_val", np.dtype(np.int16)),
    types_pb2.DT_INT32: ("int_val", np.dtype(np.int32)),
    types_pb2.DT_INT64: ("int64_val", np.dtype(np.int64)),
    types_pb2.DT_UINT8: ("int_val", np.dtype(np.uint8)),
    types_pb2.DT_UINT16: ("int_val", np.dtype(np.uint16)),
    types_pb2.DT_UINT32: ("uint32_val", np.dtype(np.uint32)),
    types_pb2.DT_UINT64: ("uint64_val", np.dtype(np.uint64)),
    types_pb2.DT_BOOL: ("bool_val", np.dtype(np.bool_)),
    types_pb2.DT_HALF: ("half_val", np.dtype(np.float16)),
    types_pb2.DT_BFLOAT16: ("half_val", np.dtype(ml_dtypes.bfloat16)),
    types_pb2.DT_STRING: ("string_val", np.dtype(object)),
}
_TYPES = {dtype: kind for kind, (_, dtype) in _KINDS.items()}
_SIXTEEN_BITS = (types_pb2.DT_HALF, types_pb2.DT_BFLOAT16)  # half_val holds their bits as integers


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """An input or output of a signature: its tensor, type and shape.

    `shape` is None if the rank is unknown. An unknown dimension is None.
    """

    tensor: str
    kind: int
    shape: tuple[int | None, ...] | None

    @classmethod
    def from_info(cls, info) -> "TensorSpec":
        """Creates a spec from a SignatureDef's TensorInfo."""
        dims = info.tensor_shape
        shape = (
            None if dims.unknown_rank else tuple(d.size if d.size >= 0 else None for d in dims.dim)
        )
        return cls(info.name, info.dtype, shape)

    @property
    def dtype(self) -> np.dtype | None:
        """The array's type; None for an unsupported type."""
        return _KINDS[self.kind][1] if self.kind in _KINDS else None

    @property
    def batched(self) -> bool:
        """Whether the first dimension may be of any size."""
        return self.shape is None or (len(self.shape) > 0 and self.shape[0] is None)


def dtype_name(kind: int) -> str:
    """Returns the name of a type, such as DT_INT32."""
    return types_pb2.DataType.Name(kind) if kind in types_pb2.DataType.values() else str(kind)


def check(name: str, shape: tuple[int, ...], spec: TensorSpec) -> None:
    """Raises INVALID_ARGUMENT if `shape` does not match the signature."""
    fits = spec.shape is None or (
        len(shape) == len(spec.shape)
        and all(want in (None, have) for have, want in zip(shape, spec.shape, strict=True))
    )
    if not fits:
        wanted = [size if size is not None else "any" for size in spec.shape]
        raise invalid(f"input {name!r} has shape {list(shape)}, expected {wanted}")


def to_array(
    name: str, proto: tensor_pb2.TensorProto, spec: TensorSpec, largest: int
) -> np.ndarray:
    """Returns the array of an input; strings are bytes in an array of objects.

    As in TensorFlow, if there are fewer values than elements, the last value is repeated.

    Args:
        name: the input's name, for messages.
        spec: the signature's spec of the input.
        largest: int, the most elements allowed. It limits the memory that a request can allocate by
            a large shape.

    Raises:
        ServingError: INVALID_ARGUMENT: type, rank, shape or content does not match the spec.
    """
    if proto.dtype != spec.kind:
        raise invalid(
            f"input {name!r} is {dtype_name(proto.dtype)}, expected {dtype_name(spec.kind)}"
        )
    if spec.dtype is None:
        raise invalid(f"input {name!r}: type {dtype_name(spec.kind)} is not supported")
    if proto.tensor_shape.unknown_rank:
        raise invalid(f"input {name!r} has no shape")
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if any(size < 0 for size in shape):
        raise invalid(f"input {name!r} has shape {list(shape)}: a size is negative")
    check(name, shape, spec)
    elements = math.prod(shape)
    if elements > largest:
        raise invalid(f"input {name!r} has {elements} elements, at most {largest} are allowed")
    if proto.tensor_content:
        return _from_content(name, proto.tensor_content, spec, shape, elements)
    return _from_values(name, proto, spec, shape, elements)


def fill(proto: tensor_pb2.TensorProto, array: np.ndarray) -> None:
    """Writes an array into the typed field of an empty TensorProto, as TF Serving's clients expect.

    Raises:
        ServingError: INVALID_ARGUMENT: the type is not supported.
    """
    kind = _TYPES.get(array.dtype)
    if kind is None:
        raise invalid(f"values of type {array.dtype} are not supported")
    proto.dtype = kind
    proto.tensor_shape.SetInParent()  # a scalar has a shape too
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    values = array.view(np.uint16) if kind in _SIXTEEN_BITS else array
    getattr(proto, _KINDS[kind][0]).extend(values.ravel().tolist())


def _from_content(name, content: bytes, spec, shape, elements: int) -> np.ndarray:
    if spec.dtype.hasobject:
        raise invalid(f"input {name!r}: strings must be in string_val, not tensor_content")
    if len(content) != elements * spec.dtype.itemsize:
        raise invalid(
            f"input {name!r} has {len(content)} bytes of tensor_content, expected "
            f"{elements * spec.dtype.itemsize} for shape {list(shape)}"
        )
    if spec.kind == types_pb2.DT_BOOL:  # bytes other than 0 and 1 are not valid bools in memory
        return (np.frombuffer(content, np.uint8) != 0).reshape(shape)
    return np.frombuffer(content, spec.dtype).reshape(shape)


def _from_values(name, proto, spec, shape, elements: int) -> np.ndarray:
    values = getattr(proto, _KINDS[spec.kind][0])[:]  # a list: NumPy reads it faster
    count = len(values)
    if count > elements or (count == 0 and elements > 0):
        raise invalid(
            f"input {name!r} has {count} values, expected {elements} for shape {list(shape)}"
        )
    bits = np.dtype(np.uint16) if spec.kind in _SIXTEEN_BITS else spec.dtype
    try:
        array = np.array(
            values, dtype=np.int64 if bits.kind in "iu" and bits.itemsize < 4 else bits
        )
    except (OverflowError, ValueError) as error:
        raise invalid(f"input {name!r}: {error}") from error
    if array.dtype != bits:
        limits = np.iinfo(bits)
        if count and (array.min() < limits.min or array.max() > limits.max):
            raise invalid(f"input {name!r} has a value beyond {limits.min} to {limits.max}")
        array = array.astype(bits)
    if count < elements:
        array = np.concatenate([array, np.repeat(array[-1:], elements - count)])
    return array.view(spec.dtype).reshape(shape) if bits != spec.dtype else array.reshape(shape)
