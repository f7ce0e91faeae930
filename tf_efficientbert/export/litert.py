"""Export as LiteRT (TFLite) files for phones, and running them."""

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
    `tokens` itself; they share the weights. Inputs are int32 `token_ids`, `segment_ids`,
    `padding_mask` [1, N], the output is `logits` [1, classes], or [1] for a regression.

    float32 keeps the weights, float16 rounds them; int8 is dynamic-range: weights in int8,
    activations quantized as they come; int8_static quantizes the activations of dense layers by
    ranges seen on `calibration`; int4 has weights of four bits and activations as int8 has them.

    Args:
        tokens: int, the longest text.
        calibration: real text of the task; int8_static needs it.

    Raises:
        UserError: an unknown precision; int8_static without text; a model with another head than
            a classification's or regression's; the disk is full.
    """
    check_precisions(precisions, calibration is not None)
    files = converted(model.model, lengths_up_to(tokens), precisions, calibration)
    paths = {name: Path(folder) / f"model_{name}.tflite" for name in precisions}
    for name, content in tqdm(files, "convert to LiteRT", len(paths), unit="file"):
        write_file(paths[name], content)
    return paths


def lengths_up_to(longest: int) -> tuple[int, ...]:
    """The lengths that a file for texts of up to `longest` tokens has signatures for."""
    return *(length for length in _LENGTHS if length < longest), longest


class LiteRtModel:
    """A LiteRT file in an interpreter.

    Args:
        path: the file.
        threads: int, CPU threads.

    Attributes:
        lengths: the lengths it has signatures for, shortest first.
    """

    def __init__(self, path: str | Path, threads: int = 1):
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
        names = self._interpreter.get_signature_list()
        self.lengths = tuple(sorted(int(name.removeprefix(signature_name(""))) for name in names))
        self._runners = {}

    @property
    def tokens(self) -> int:
        """The longest text it takes."""
        return self.lengths[-1]

    def logits(self, encoded: EncodedExamples) -> np.ndarray:
        """Logits of all examples, one at a time: [examples, classes], or [examples].

        Each goes to the shortest signature that holds it. Raises ValueError where one is longer
        than the longest.
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
        """The length of the signature that an example goes to."""
        return next(length for length in self.lengths if encoded.lengths[index] <= length)

    def milliseconds(self, encoded: EncodedExamples, runs: int, tokens: int | None = None) -> float:
        """Median time of one example over `runs` runs, after as many as it takes to warm up.

        Args:
            tokens: which signature is timed, the longest by default.
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
        if tokens not in self._runners:  # each takes memory for its length
            runner = self._interpreter.get_signature_runner(signature_name(tokens))
            self._runners[tokens] = runner
        return self._runners[tokens](**inputs)["logits"]
