"""A BERT as an ONNX file with the names that PyTorch's exporter gives."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

INPUTS = {
    "input_ids": "token_ids",
    "token_type_ids": "segment_ids",
    "attention_mask": "padding_mask",
}
OUTPUT = "last_hidden_state"


def write_onnx(path: Path, config: dict, weights: dict[str, np.ndarray]) -> None:
    """Writes the encoder of a `BertModel`, with its pooler as a Gemm.

    Args:
        config: of config.json.
        weights: the state dict, matrices as [out, in].
    """
    graph = _Builder(weights)
    heads, width = config["num_attention_heads"], config["hidden_size"]
    x = graph.add("Gather", "embeddings.word_embeddings.weight", "input_ids")
    segments = graph.add("Gather", "embeddings.token_type_embeddings.weight", "token_type_ids")
    tokens = graph.add("Slice", graph.add("Shape", "input_ids"), *map(graph.int64, ([1], [2])))
    positions = graph.add("Range", graph.int64(0), graph.add("Squeeze", tokens), graph.int64(1))
    places = graph.add("Gather", "embeddings.position_embeddings.weight", positions)
    x = graph.norm("embeddings", graph.add("Add", graph.add("Add", x, segments), places), config)
    mask = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    mask = graph.add("Unsqueeze", mask, graph.int64([1, 2]))
    bias = graph.add("Mul", graph.add("Sub", mask, graph.float32(1.0)), graph.float32(1e4))
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        query, key, value = (
            graph.split(graph.linear(f"{layer}.attention.self.{part}", x), heads, width)
            for part in ("query", "key", "value")
        )
        scores = graph.add("MatMul", query, graph.add("Transpose", key, perm=[0, 1, 3, 2]))
        scores = graph.add("Div", scores, graph.float32(np.sqrt(width / heads)))
        shares = graph.add("Softmax", graph.add("Add", scores, bias), axis=-1)
        mixed = graph.add("Transpose", graph.add("MatMul", shares, value), perm=[0, 2, 1, 3])
        mixed = graph.add("Reshape", mixed, graph.int64([0, 0, width]))
        update = graph.linear(f"{layer}.attention.output.dense", mixed)
        x = graph.norm(f"{layer}.attention.output", graph.add("Add", update, x), config)
        inner = graph.gelu(graph.linear(f"{layer}.intermediate.dense", x))
        update = graph.linear(f"{layer}.output.dense", inner)
        x = graph.norm(f"{layer}.output", graph.add("Add", update, x), config)
    first = graph.add("Gather", x, graph.int64(0), axis=1)
    graph.add("Identity", x, output=OUTPUT)
    graph.add("Gemm", first, "pooler.dense.weight", "pooler.dense.bias", transB=1, output="pooled")
    onnx.save(graph.model(), path)


class _Builder:
    def __init__(self, weights: dict[str, np.ndarray]):
        # Matrices of linear maps are stored under numbers, but the pooler's, which is in a Gemm.
        self._matrices = {
            name: array.T
            for name, array in weights.items()
            if name.endswith(".weight")
            and "embeddings." not in name
            and "LayerNorm" not in name
            and not name.startswith("pooler")
        }
        self._constants = {k: v for k, v in weights.items() if k not in self._matrices}
        self._nodes = []

    def add(self, kind: str, *inputs: str, output: str = "", **attributes) -> str:
        output = output or f"/{kind}_{len(self._nodes)}_output_0"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def _constant(self, array: np.ndarray) -> str:
        name = f"onnx::Constant_{len(self._constants)}"
        self._constants[name] = array
        return name

    def int64(self, values) -> str:
        return self._constant(np.asarray(values, np.int64))

    def float32(self, value: float) -> str:
        return self._constant(np.asarray(value, np.float32))

    def linear(self, name: str, x: str) -> str:
        matrix = f"onnx::MatMul_{len(self._constants)}"
        self._constants[matrix] = np.ascontiguousarray(self._matrices[f"{name}.weight"])
        return self.add("Add", f"{name}.bias", self.add("MatMul", x, matrix))

    def norm(self, name: str, x: str, config: dict) -> str:
        part, epsilon = f"{name}.LayerNorm", config["layer_norm_eps"]
        return self.add("LayerNormalization", x, f"{part}.weight", f"{part}.bias", epsilon=epsilon)

    def gelu(self, x: str) -> str:
        erf = self.add("Erf", self.add("Div", x, self.float32(np.sqrt(2))))
        shifted = self.add("Mul", x, self.add("Add", erf, self.float32(1.0)))
        return self.add("Mul", shifted, self.float32(0.5))

    def split(self, x: str, heads: int, width: int) -> str:
        parts = self.add("Reshape", x, self.int64([0, 0, heads, width // heads]))
        return self.add("Transpose", parts, perm=[0, 2, 1, 3])

    def model(self):
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
            for name in INPUTS
        ]
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            for name in (OUTPUT, "pooled")
        ]
        tensors = [numpy_helper.from_array(array, name) for name, array in self._constants.items()]
        graph = helper.make_graph(self._nodes, "main_graph", inputs, outputs, tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
