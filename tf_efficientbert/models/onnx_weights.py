"""The weights in the ONNX file of a BERT, float or quantized to 8 bits.

PyTorch's exporter keeps the names of biases, LayerNorms and tables, but stores the matrix of a
linear map under a number. So a matrix is found from the bias that is added to its product.
"""

from pathlib import Path

import numpy as np

from tf_efficientbert.errors import UserError, first_line

__all__ = ["find_onnx", "read_onnx_weights"]

# As Optimum writes them, and below onnx/ as transformers.js wants them; the most exact one first.
_FOLDERS = ("", "onnx")
_FILES = ("model.onnx", "model_fp16.onnx", "model_quantized.onnx", "model_int8.onnx")
# Suffixes of ONNX Runtime's quantizer.
_QUANTIZED, _SCALE, _ZERO_POINT = "_quantized", "_scale", "_zero_point"


def find_onnx(folder: Path) -> Path | None:
    """Returns the most exact ONNX file of a folder, or None."""
    paths = (folder / inner / name for name in _FILES for inner in _FOLDERS)
    return next((path for path in paths if path.is_file()), None)


def read_onnx_weights(path: Path) -> dict[str, np.ndarray]:
    """Returns the weights by PyTorch's names, dequantized, matrices as [out, in].

    Raises:
        UserError: the package onnx is not installed, the file is damaged, or a matrix is not
            where an exported network has it.
    """
    try:
        import onnx
    except ImportError as error:
        raise UserError(
            f"{path}: ONNX files need the package onnx: pip install 'tf-efficientbert[onnx]'"
        ) from error
    try:
        model = onnx.load(str(path))
        graph = _Graph(model.graph, onnx.numpy_helper.to_array)
    except Exception as error:  # protobuf's, onnx's and the operating system's
        raise UserError(f"{path} cannot be read as an ONNX file: {first_line(error)}") from error
    foreign = sorted({n.op_type for n in model.graph.node if n.domain not in ("", "ai.onnx")})
    if foreign:
        raise UserError(
            f"{path} has fused operators ({', '.join(foreign)}), in which weights are merged; "
            "export the model without graph optimization"
        )
    try:
        return graph.weights()
    except (KeyError, ValueError) as error:
        raise UserError(f"{path} is not the ONNX file of a BERT: {first_line(error)}") from error


class _Graph:
    """Constants by name, and the operations around them."""

    def __init__(self, graph, to_array):
        self._constants = {tensor.name: to_array(tensor) for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].HasField("t"):
                self._constants[node.output[0]] = to_array(node.attribute[0].t)
        self._producers = {name: node for node in graph.node for name in node.output}
        self._consumers = {}
        for node in graph.node:
            for name in node.input:
                self._consumers.setdefault(name, []).append(node)

    def weights(self) -> dict[str, np.ndarray]:
        # An exporter that finds equal tensors keeps one and copies it: Identity.
        copies = [n.output[0] for n in self._producers.values() if n.op_type == "Identity"]
        found, matrices = {}, {}
        for name in (*self._constants, *copies):
            plain = name.removesuffix(_QUANTIZED)
            if not plain.endswith((".weight", ".bias")):
                continue
            found[plain] = self._constant(name)
            if plain.endswith(".bias") and "LayerNorm" not in plain:
                matrix = self._matrix_before(name)
                if matrix is not None:
                    matrices[f"{plain.removesuffix('.bias')}.weight"] = matrix
        # Of a quantized Gemm, the matrix has kept its name, but is [in, out] now.
        return {**found, **matrices}

    def _matrix_before(self, bias: str) -> np.ndarray | None:
        """Returns the [out, in] matrix to whose product the bias is added, or None."""
        for node in self._consumers.get(bias, ()):
            if node.op_type == "Gemm":
                matrix = self._constant(node.input[1])
                flags = {attribute.name: attribute.i for attribute in node.attribute}
                return matrix if flags.get("transB") else matrix.T
            if node.op_type == "Add":
                (product,) = (name for name in node.input if name != bias)
                return self._constant(self._factor(product, bias)).T
        return None

    def _factor(self, product: str, bias: str) -> str:
        """Returns the name of the constant factor of a product, which may be computed in int8."""
        node = self._producers[product]
        if node.op_type == "Mul":  # (integer product, as float) x scales
            node = self._producers[node.input[0]]
        if node.op_type == "Cast":
            node = self._producers[node.input[0]]
        if node.op_type not in ("MatMul", "MatMulInteger"):
            raise ValueError(f"{bias} is added to the output of {node.op_type}, not of a product")
        return node.input[1]

    def _constant(self, name: str) -> np.ndarray:
        """Returns a constant in float32; a quantized one is (values - zero point) x scale."""
        if name in self._constants:
            values = self._constants[name]
            if not name.endswith(_QUANTIZED):
                return np.asarray(values, np.float32)
            plain = name.removesuffix(_QUANTIZED)
            return self._dequantized(name, plain + _SCALE, plain + _ZERO_POINT)
        node = self._producers[name]
        if node.op_type == "DequantizeLinear":
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
            return self._dequantized(*node.input, axis=axis)
        if node.op_type in ("Transpose", "Cast", "Identity"):
            values = self._constant(node.input[0])
            return values.T if node.op_type == "Transpose" else values
        raise ValueError(f"{name} is the output of {node.op_type}, expected a constant")

    def _dequantized(
        self, values: str, scale: str, zero_point: str | None = None, axis: int = -1
    ) -> np.ndarray:
        """Returns (values - zero point) x scale; these may be vectors along `axis`."""
        integers = self._constants[values].astype(np.float32)

        def along_axis(name: str) -> np.ndarray:
            given = self._constants[name].astype(np.float32)
            if given.ndim:
                others = [i for i in range(integers.ndim) if i != axis % integers.ndim]
                given = np.expand_dims(given, others)
            return given

        zero = along_axis(zero_point) if zero_point else 0.0
        return (integers - zero) * along_axis(scale)
