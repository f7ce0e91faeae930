"""Writes the files for `benchmarks.inference`: two networks with random weights in all forms.

    python -m benchmarks.inference_files FOLDER TOKENS [tiny]

With `tiny`, the shapes are tiny, to try the benchmark.

Runs as a separate process, so that its memory is free before the measurement. Writes
FOLDER/contenders.json: a list of {"model", "runtime", "precision", "path"}.
"""

import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.data.batching import EncodedExamples
from tf_efficientbert.export.inference_graph import InferenceGraph
from tf_efficientbert.export.litert import lengths_up_to
from tf_efficientbert.export.litert_conversion import (
    PRECISIONS,
    converted,
    input_signature,
    saved,
)
from tf_efficientbert.models import ClassificationHead, EfficientBert, TaskModel
from tf_efficientbert.models.teacher import architecture_of
from tf_efficientbert.storage import write_json

_BERT_BASE = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
}
# Export precision to the name in the rows: the export calls dynamic-range quantization int8.
ROW_PRECISION = {"int8": "int8_dynamic"}
SAME_GRAPH = "bert_base_inference_graph"


class PlainGraph(tf.Module):
    """The Keras network with the interface of an `InferenceGraph`."""

    def __init__(self, model: TaskModel, longest: int, **_):
        super().__init__()
        self.model = model
        # tf.Module does not find Keras variables, and LiteRT writes NaN for variables not saved.
        self.tracked = [weight.value for weight in model.weights]

    def __call__(self, token_ids, segment_ids, padding_mask):
        inputs = {
            "token_ids": token_ids,
            "segment_ids": segment_ids,
            "padding_mask": padding_mask,
        }
        return self.model(inputs)["logits"]


def main() -> None:
    folder, tokens = Path(sys.argv[1]), int(sys.argv[2])
    student, bert = Architecture.from_preset("efficientbert"), architecture_of(_BERT_BASE)
    if sys.argv[3:] == ["tiny"]:
        student = dataclasses.replace(student, hidden_size=48, ffn_width=48, embedding_size=32)
        bert = dataclasses.replace(bert, hidden_size=48, ffn_width=96, cells=bert.cells[:2])
    rows = [
        *_files(folder, "efficientbert", student, tokens),
        *_files(folder, "bert_base", bert, tokens),
    ]
    write_json(folder / "contenders.json", rows)


def _files(folder: Path, name: str, architecture: Architecture, tokens: int) -> Iterator[dict]:
    model = _random(architecture)
    text = _random_text(tokens)
    ours = name == "efficientbert"
    graph = InferenceGraph if ours else PlainGraph
    lengths = lengths_up_to(384) if ours else (tokens,)
    # ai-edge-quantizer cannot calibrate the plain graph of BERT-base.
    precisions = [name for name in PRECISIONS if ours or name != "int8_static"]
    for precision, content in converted(model, lengths, precisions, text, graph):
        yield _written(folder, name, "litert", precision, content)
    if not ours:
        for precision, content in converted(model, lengths, ("float32", "int8"), text):
            yield _written(folder, SAME_GRAPH, "litert", precision, content)
    plain = PlainGraph(model, tokens)

    @tf.function(input_signature=input_signature(tokens), autograph=False)
    def logits(token_ids, segment_ids, padding_mask):
        return {"logits": plain(token_ids, segment_ids, padding_mask)}

    with saved(plain, {"serving_default": logits}) as temporary:
        path = folder / f"{name}_saved_model"
        os.rename(temporary, path)
        os.mkdir(temporary)
    yield _row(name, "tensorflow", "float32", path)
    # Converting BERT-base to ONNX takes more than 20 GB of memory.
    for write in (_onnx, _openvino) if ours else ():
        try:
            yield from write(folder, name, path, text)
        except ImportError as error:
            _say(f"left out: {error} (pip install 'tf-efficientbert[bench]')")
        except Exception as error:  # a failing third-party converter must not stop the benchmark
            _say(f"left out: {name} in {write.__name__.strip('_')}: {error!r:.300}")


def _row(model: str, runtime: str, precision: str, path: Path) -> dict:
    _say(f"{model} {runtime} {precision}")
    precision = ROW_PRECISION.get(precision, precision)
    return {"model": model, "runtime": runtime, "precision": precision, "path": str(path)}


def _written(folder: Path, model: str, runtime: str, precision: str, content: bytes) -> dict:
    path = folder / f"{model}_{precision}.tflite"
    path.write_bytes(content)
    return _row(model, runtime, precision, path)


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def _random(architecture: Architecture) -> TaskModel:
    # The tanh form of GELU, as in BERT's first release: OpenVINO lacks Erfc of the exact form.
    backbone = EfficientBert(architecture, exact_gelu=False)
    model = TaskModel(backbone, ClassificationHead(architecture.hidden_size, 2))
    draws = np.random.default_rng(0)
    for weight in model.weights:
        # Biases other than 0 and scales other than 1, which converters would optimize away.
        if len(weight.shape) == 1:
            weight.assign(weight + draws.normal(scale=0.05, size=weight.shape))
    return model


def _random_text(tokens: int, examples: int = 32) -> EncodedExamples:
    ids = np.random.default_rng(1).integers(1000, 30000, examples * tokens).astype(np.int32)
    return EncodedExamples(ids, np.zeros_like(ids), np.arange(examples + 1) * tokens)


def _onnx(folder: Path, name: str, saved_model: Path, text) -> Iterator[dict]:
    """ONNX Runtime: float32, and its dynamic quantization after its preprocessing."""
    import onnx  # noqa: F401
    import tf2onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    path = folder / f"{name}_float32.onnx"
    loaded = tf.saved_model.load(str(saved_model))  # keeps the variables
    signature = loaded.signatures["serving_default"]
    specs = signature.structured_input_signature[1]

    @tf.function(input_signature=list(specs.values()), autograph=False)
    def function(*inputs):
        return signature(**dict(zip(specs, inputs, strict=True)))

    with _quiet():
        tf2onnx.convert.from_function(
            function, input_signature=list(specs.values()), opset=17, output_path=str(path)
        )
    yield _row(name, "onnxruntime", "float32", path)
    prepared, quantized = (folder / f"{name}_{form}.onnx" for form in ("prepared", "int8"))
    with _quiet():
        quant_pre_process(str(path), str(prepared))
        quantize_dynamic(
            str(prepared), str(quantized), per_channel=True, weight_type=QuantType.QInt8
        )
    yield _row(name, "onnxruntime", "int8", quantized)


def _openvino(folder: Path, name: str, saved_model: Path, text) -> Iterator[dict]:
    """OpenVINO: float32, bfloat16 (a setting), and NNCF's quantization for transformers.

    Converts the ONNX file, because OpenVINO cannot read the variables of this SavedModel.
    """
    import openvino

    path = folder / f"{name}.xml"
    model = openvino.convert_model(str(folder / f"{name}_float32.onnx"))
    openvino.save_model(model, str(path), compress_to_fp16=False)
    yield _row(name, "openvino", "float32", path)
    yield _row(name, "openvino", "bfloat16", path)
    import nncf

    quantized = folder / f"{name}_int8.xml"
    with _quiet():
        dataset = nncf.Dataset([text.padded(np.array([i])) for i in range(len(text))])
        quantizing = {"model_type": nncf.ModelType.TRANSFORMER, "subset_size": len(text)}
        openvino.save_model(nncf.quantize(model, dataset, **quantizing), str(quantized))
    yield _row(name, "openvino", "int8_static", quantized)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with open(os.devnull, "w") as devnull, contextlib.redirect_stdout(devnull):
        yield


if __name__ == "__main__":
    main()
