"""Export as a file for MediaPipe's TextClassifier, which runs on phones and in browsers."""

from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tf_efficientbert.data.batching import MODEL_INPUTS, EncodedExamples
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.inference_graph import InferenceGraph
from tf_efficientbert.export.litert_conversion import (
    CONVERTER_PRECISIONS,
    convert,
    input_signature,
    saved,
)
from tf_efficientbert.export.litert_metadata import with_metadata
from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.storage import write_file

_SIGNATURE = "serving_default"


def export_mediapipe(
    model: TextModel, path: str | Path, tokens: int, precision: str = "float32"
) -> Path:
    """Writes a LiteRT file with vocabulary, labels and metadata in it; returns its path.

    It has one signature, because MediaPipe supports only one. Inputs are ids, mask and segment ids
    padded to `tokens` (longer text is cut); the output is `probabilities` [1, classes].

    Args:
        tokens: int, [CLS] and [SEP] included.
        precision: float32, float16 or int8 (dynamic range).

    Raises:
        UserError: the task is not a classification of single texts, or the tokenizer is cased
            (MediaPipe passes one text and always lower-cases it); the precision is not supported;
            the disk is full.
    """
    if precision not in CONVERTER_PRECISIONS:
        known = ", ".join(CONVERTER_PRECISIONS)
        raise UserError(f"MediaPipe files have no precision {precision!r}; expected one of {known}")
    refusal = mediapipe_refusal(model)
    if refusal:
        raise UserError(refusal)
    graph = InferenceGraph(model.model, tokens)

    @tf.function(input_signature=input_signature(tokens), autograph=False)
    def probabilities(token_ids, segment_ids, padding_mask):
        logits = graph(token_ids, segment_ids, padding_mask)
        return {"probabilities": model.task.probabilities(logits)}

    with saved(graph, {_SIGNATURE: probabilities}) as folder:
        content = convert(folder, [_SIGNATURE], precision)
    content = with_metadata(content, model.tokenizer.vocabulary, model.task)
    write_file(path, content)
    return Path(path)


def mediapipe_refusal(model: TextModel) -> str | None:
    """Returns why MediaPipe cannot run the model, or None if it can."""
    task = model.task
    if task is None or task.pair or task.served_as != "classify":
        return "MediaPipe's TextClassifier supports only classification of single texts"
    if not model.tokenizer.lower_case:
        return "MediaPipe lower-cases all text, but this model is cased"
    if not model.tokenizer.strip_accents:
        return "text for MediaPipe has its accents removed, but this model keeps them"
    return None


class MediaPipeFile:
    """A file for MediaPipe in LiteRT's interpreter, which MediaPipe also uses.

    Args:
        path: the file.
        threads: int, CPU threads.
    """

    def __init__(self, path: str | Path, threads: int = 1):
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
        self._run = self._interpreter.get_signature_runner(_SIGNATURE)
        self._tokens = self._interpreter.get_input_details()[0]["shape"][1]

    def probabilities(self, encoded: EncodedExamples) -> np.ndarray:
        """Returns the probabilities of all examples, [examples, classes]."""
        results = []
        for i in tqdm(range(len(encoded)), desc="LiteRT", unit="text", delay=10, leave=False):
            batch = encoded.padded(np.array([i]), self._tokens)
            inputs = {name: batch[name] for name in MODEL_INPUTS}
            results.append(self._run(**inputs)["probabilities"])
        return np.concatenate(results)
