"""Converts a caller's inputs to arrays."""

import numpy as np

__all__ = ["as_array"]


def as_array(values) -> np.ndarray:
    """Converts numbers to a NumPy array, and text and bytes to an array of bytes objects.

    It avoids NumPy's bytes arrays, which drop trailing zero bytes.
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
