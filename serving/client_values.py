"""What a caller passes as an input, as an array."""

import numpy as np

__all__ = ["as_array"]


def as_array(values) -> np.ndarray:
    """Numbers as NumPy sees them; text and bytes as an array of bytes objects.

    NumPy's own arrays of bytes drop zeros at the end, so none is made on the way.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind not in "USO":
        return values
    objects = np.array(values, dtype=object)
    leaves = objects.ravel().tolist()
    if not any(isinstance(leaf, str | bytes) for leaf in leaves):
        return np.asarray(values)
    array = np.empty(len(leaves), dtype=object)
    array[:] = [leaf.encode() if isinstance(leaf, str) else leaf for leaf in leaves]
    return array.reshape(objects.shape)
