"""Exports LiteRT (TFLite) files for phones, and runs them."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tf_efficientbert.data.batching import MODEL_INPUTS, EncodedExamples
from tf_efficientbert.export.litert_conversion import (
    PRECISIONS,
    check_precisions,
    converted,
    signature_name,
)
from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.storage import write_file

__all__ = ["DEFAULT_PRECISIONS", "PRECISIONS", "LiteRtModel", "export_litert", "lengths_up_to"]

DEFAULT_PRECISIONS = ("float32", "float16", "int8")
_LENGTHS = (32, 64, 128, 384)


def export_litert(
    model: TextModel,
    folder: str | Path,
    tokens: int,
    precisions: Sequence[str] = DEFAULT_PRECISIONS,
    calibration: EncodedExamples | None = None,
) -> dict[str, Path]:
    """Writes `folder`/model_PRECISION.tflite for each of `precisions`; returns their paths.

    A file has a signature `tokens_N` for each length N of 32, 64, 128, 384 below `tokens`, and for
    `tokens` itself. All share the weights. Inputs are int32 `token_ids`, `segment_ids`,
    `padding_mask` [1, N]. The output is `logits` [1, classes], or [1] for a regression.

    Precisions:
        float32: the weights as they are.
        float16: weights rounded to float16.
        int8: dynamic range, int8 weights and activations quantized at run time.
        int8_static: as int8, but activations of dense layers use ranges from `calibration`.
        int4: four-bit weights, activations as for int8.

    Args:
        tokens: int, the longest text.
        calibration: real text of the task; required for int8_static.

    Raises:
        UserError: a precision is unknown; int8_static has no calibration text; the model's head is
            neither for classification nor for regression; the disk is full.
    """
    check_precisions(precisions, calibration is not None)
    files = converted(model.model, lengths_up_to(tokens), precisions, calibration)
    paths = {name: Path(folder) / f"model_{name}.tflite" for name in precisions}
    for name, content in tqdm(files, "convert to LiteRT", len(paths), unit="file"):
        write_file(paths[name], content)
    return paths


def lengths_up_to(longest: int) -> tuple[int, ...]:
    """Returns the signature lengths of a file for texts of up to `longest` tokens."""
    return *(length for length in _LENGTHS if length < longest), longest


class LiteRtModel:
    """A LiteRT file in an interpreter.

    Args:
        path: the file.
        threads: int, CPU threads.

    Attributes:
        lengths: lengths of the signatures, ascending.
    """

    def __init__(self, path: str | Path, threads: int = 1):
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
        names = self._interpreter.get_signature_list()
        self.lengths = tuple(sorted(int(name.removeprefix(signature_name(""))) for name in names))
        self._runners = {}

    @property
    def tokens(self) -> int:
        """The longest text, in tokens."""
        return self.lengths[-1]

    def logits(self, encoded: EncodedExamples) -> np.ndarray:
        """Returns the logits of all examples, computed one at a time.

        Each example goes to the shortest signature that holds it.

        Returns: [examples, classes], or [examples].

        Raises:
            ValueError: an example is longer than the longest signature.
        """
        if encoded.lengths.max() > self.tokens:
            raise ValueError(
                f"an example has {encoded.lengths.max()} tokens, the file takes {self.tokens}"
            )
        bar = tqdm(range(len(encoded)), desc="LiteRT", unit="text", delay=10, leave=False)
        return np.concatenate(
            [self._logits_of(self._inputs(encoded, i, self.length_for(encoded, i))) for i in bar]
        )

    def length_for(self, encoded: EncodedExamples, index: int) -> int:
        """Returns the length of the signature for an example."""
        return next(length for length in self.lengths if encoded.lengths[index] <= length)

    def milliseconds(self, encoded: EncodedExamples, runs: int, tokens: int | None = None) -> float:
        """Returns the median time of one example over `runs` runs, after some warm-up runs.

        Args:
            tokens: length of the signature to time; default: the longest.
        """
        times = []
        for i in range(-max(3, runs // 5), runs):
            inputs = self._inputs(encoded, i % len(encoded), tokens or self.tokens)
            start = time.perf_counter()
            self._logits_of(inputs)
            if i >= 0:
                times.append(time.perf_counter() - start)
        return 1000 * float(np.median(times))

    def _inputs(self, encoded: EncodedExamples, index: int, tokens: int) -> dict[str, np.ndarray]:
        batch = encoded.padded(np.array([index]), tokens)
        return {name: batch[name] for name in MODEL_INPUTS}

    def _logits_of(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        tokens = inputs["token_ids"].shape[1]
        if tokens not in self._runners:  # created on demand: each allocates memory for its length
            runner = self._interpreter.get_signature_runner(signature_name(tokens))
            self._runners[tokens] = runner
        return self._runners[tokens](**inputs)["logits"]
