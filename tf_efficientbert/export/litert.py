"""Export as LiteRT (TFLite) files for phones, and running them."""

import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tf_efficientbert.data.batching import MODEL_INPUTS, EncodedExamples
from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.storage import write_file

PRECISIONS = ("float32", "int8")


def export_litert(model: TextModel, folder: str | Path, tokens: int) -> dict[str, Path]:
    """Writes `folder`/model_PRECISION.tflite for each precision; returns their paths.

    float32 keeps the weights; int8 is dynamic-range: weights in int8, activations quantized as
    they come. Inputs are int32 `token_ids`, `segment_ids`, `padding_mask` [1, tokens], the output
    is `logits` [1, classes], or [1] for a regression.

    Args:
        tokens: int, the fixed length.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)

    def logits(token_ids, segment_ids, padding_mask):
        inputs = dict(zip(MODEL_INPUTS, (token_ids, segment_ids, padding_mask), strict=True))
        return {"logits": model.model(inputs)["logits"]}

    paths = {}
    # From the Keras model itself the converter fails or, with no error, writes NaN weights.
    with tempfile.TemporaryDirectory() as saved:
        archive = keras.export.ExportArchive()
        archive.track(model.model)
        signature = [tf.TensorSpec([1, tokens], tf.int32, name=name) for name in MODEL_INPUTS]
        archive.add_endpoint("serving_default", logits, input_signature=signature)
        archive.write_out(saved, verbose=False)
        for precision in tqdm(PRECISIONS, desc="convert to LiteRT", unit="file"):
            converter = tf.lite.TFLiteConverter.from_saved_model(saved)
            if precision == "int8":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            paths[precision] = folder / f"model_{precision}.tflite"
            write_file(paths[precision], converter.convert())
    return paths


class LiteRtModel:
    """A LiteRT file in an interpreter.

    Args:
        path: the file.
        threads: int, CPU threads.
    """

    def __init__(self, path: str | Path, threads: int = 1):
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
        self._run = self._interpreter.get_signature_runner()
        details = self._run.get_input_details()
        self.tokens = int(details["token_ids"]["shape"][1])

    def logits(self, encoded: EncodedExamples) -> np.ndarray:
        """Logits of all examples, one at a time: [examples, classes], or [examples].

        Raises ValueError where an example is longer than the file's fixed length.
        """
        if encoded.lengths.max() > self.tokens:
            raise ValueError(
                f"an example has {encoded.lengths.max()} tokens, the file takes {self.tokens}"
            )
        bar = tqdm(range(len(encoded)), desc="LiteRT", unit="text", delay=10, leave=False)
        return np.concatenate([self._logits_of(self._inputs(encoded, i)) for i in bar])

    def milliseconds(self, encoded: EncodedExamples, runs: int) -> float:
        """Median time of one example over `runs` runs, after as many as it takes to warm up."""
        times = []
        for i in range(-max(3, runs // 5), runs):
            inputs = self._inputs(encoded, i % len(encoded))
            start = time.perf_counter()
            self._logits_of(inputs)
            if i >= 0:
                times.append(time.perf_counter() - start)
        return 1000 * float(np.median(times))

    def _inputs(self, encoded: EncodedExamples, index: int) -> dict[str, np.ndarray]:
        batch = encoded.padded(np.array([index]), self.tokens)
        return {name: batch[name] for name in MODEL_INPUTS}

    def _logits_of(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        return self._run(**inputs)["logits"]
