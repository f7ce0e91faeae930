"""Converts an inference graph to the bytes of a LiteRT file, in one of several precisions."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_efficientbert.data.batching import MODEL_INPUTS, EncodedExamples
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.flatbuffer import pack, unpack
from tf_efficientbert.export.inference_graph import InferenceGraph
from tf_efficientbert.models.task_model import TaskModel

# Arguments of the graph for each precision. In int8_static a mask of -10,000 would leave one of 256
# steps to the scores; -30 is as good as zero after the softmax.
_GRAPH_ARGUMENTS: dict[str, dict[str, Any]] = {
    "float32": {},
    "float16": {},
    "int8": {},
    "int8_static": {"masked_score": -30.0, "table_bits": 8},
    "int4": {"table_bits": 5},
}
PRECISIONS = tuple(_GRAPH_ARGUMENTS)
CONVERTER_PRECISIONS = ("float32", "float16", "int8")  # without ai-edge-quantizer
_CALIBRATION_EXAMPLES = 32
_THREADS = 1  # of the calibration; the default of 16 overloads a small or busy machine


def needs_calibration(precision: str) -> bool:
    """Returns whether a precision needs text to measure the ranges of activations."""
    return precision == "int8_static"


def signature_name(tokens: int) -> str:
    """Returns the name of the signature for texts padded to `tokens`."""
    return f"tokens_{tokens}"


def converted(
    model: TaskModel,
    lengths: Sequence[int],
    precisions: Sequence[str],
    calibration: EncodedExamples | None = None,
    graph_class: type[tf.Module] = InferenceGraph,
) -> Iterator[tuple[str, bytes]]:
    """Yields each precision with its file, which has a signature for each of `lengths`.

    Args:
        calibration: real text to measure the ranges of activations; required for int8_static.
        graph_class: a class with the interface of InferenceGraph.

    Raises:
        UserError: a precision is unknown, or int8_static has no calibration text.
    """
    check_precisions(precisions, calibration is not None)
    for precisions_of_graph in _grouped(precisions):
        graph = graph_class(model, max(lengths), **_GRAPH_ARGUMENTS[precisions_of_graph[0]])
        functions = {signature_name(tokens): _logits(graph, tokens) for tokens in lengths}
        with saved(graph, functions) as folder:
            for precision in precisions_of_graph:
                content = convert(folder, functions, precision)
                if precision == "int8_static":
                    samples = {signature_name(n): _samples(calibration, n) for n in lengths}
                    content = _quantized(content, _static_int8, samples)
                elif precision == "int4":
                    content = _quantized(content, _int4)
                yield precision, pack(unpack(content))


def check_precisions(names: Sequence[str], calibrates: bool) -> None:
    """Raises UserError if a precision is unknown or lacks its calibration text."""
    for name in names:
        if name not in PRECISIONS:
            raise UserError(f"unknown precision {name!r}; expected one of {', '.join(PRECISIONS)}")
        if needs_calibration(name) and not calibrates:
            raise UserError(f"precision {name} needs text of the task for calibration")


def _grouped(precisions: Sequence[str]) -> list[list[str]]:
    """Groups precisions that can share a graph, because tracing a graph takes seconds."""
    groups = {}
    for precision in precisions:
        groups.setdefault(str(_GRAPH_ARGUMENTS[precision]), []).append(precision)
    return list(groups.values())


@contextlib.contextmanager
def saved(module: tf.Module, functions: dict[str, Callable]) -> Iterator[str]:
    """Yields a temporary SavedModel with `functions`, which use the variables of `module`."""
    module.functions = list(functions.values())
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=functions)
        yield folder


def convert(folder: str, signatures: Iterable[str], precision: str, custom: bool = False) -> bytes:
    """Converts a SavedModel with TensorFlow's converter.

    Args:
        precision: float32, float16 or int8 (dynamic range); others give float32.
        custom: whether to keep operations that LiteRT does not have.
    """
    # From functions instead of a SavedModel, the converter writes NaN weights without an error.
    converter = tf.lite.TFLiteConverter.from_saved_model(folder, list(signatures))
    converter.allow_custom_ops = custom
    if precision in ("float16", "int8"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def _logits(graph: tf.Module, tokens: int) -> Callable:
    @tf.function(input_signature=input_signature(tokens), autograph=False)
    def logits(token_ids, segment_ids, padding_mask):
        return {"logits": graph(token_ids, segment_ids, padding_mask)}

    return logits


def input_signature(tokens: int) -> list[tf.TensorSpec]:
    """Returns the input signature for one text padded to `tokens`."""
    return [tf.TensorSpec([1, tokens], tf.int32, name=name) for name in MODEL_INPUTS]


def _samples(encoded: EncodedExamples, tokens: int) -> list[dict[str, np.ndarray]]:
    """Returns the inputs of the first examples, each cut or padded to `tokens`."""
    samples = []
    for i in range(min(len(encoded), _CALIBRATION_EXAMPLES)):
        batch = encoded.padded(np.array([i]), max(tokens, encoded.lengths[i]))
        samples.append({name: batch[name][:, :tokens] for name in MODEL_INPUTS})
    return samples


def _quantized(content: bytes, recipe: Callable, samples: dict | None = None) -> bytes:
    try:
        from ai_edge_quantizer.quantizer import Quantizer
    except ImportError as error:
        raise UserError(
            "ai-edge-quantizer is not installed: pip install 'tf-efficientbert[quant]'"
        ) from error
    quantizer = Quantizer(bytearray(content))
    recipe(quantizer)
    with open(os.devnull, "w") as devnull, contextlib.redirect_stdout(devnull):
        ranges = quantizer.calibrate(samples, num_threads=_THREADS) if samples else None
        return bytes(quantizer.quantize(ranges).quantized_model)


def _static_int8(quantizer) -> None:
    """Quantizes dense layers to static int8; other operations have no fast integer kernel."""
    quantizer.add_static_config(".*", "FULLY_CONNECTED", activation_num_bits=8, weight_num_bits=8)
    quantizer.add_dynamic_config(".*", "BATCH_MATMUL", num_bits=8)


def _int4(quantizer) -> None:
    """Quantizes weights of dense layers to four bits, with OCTAV's optimal clipping."""
    quantizer.add_dynamic_config(".*", "FULLY_CONNECTED", num_bits=4, algorithm_key="OCTAV")
    quantizer.add_dynamic_config(".*", "BATCH_MATMUL", num_bits=8)
