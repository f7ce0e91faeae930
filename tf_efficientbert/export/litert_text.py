"""Export as a LiteRT file with the tokenizer in its graph: text in, logits out."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_efficientbert.data.examples import Examples
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.flatbuffer import pack, unpack
from tf_efficientbert.export.inference_graph import InferenceGraph
from tf_efficientbert.export.litert_conversion import CONVERTER_PRECISIONS, convert, saved
from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.storage import write_file
from tf_efficientbert.tasks.task import TEXT_NAMES

_SIGNATURE = "serving_default"


def export_litert_text(
    model: TextModel, path: str | Path, tokens: int, precision: str = "float32"
) -> Path:
    """Writes a LiteRT file that takes one text, or a pair; returns its path.

    Inputs are the strings `text` [1] and, for pairs, `second_text` [1]. The output is `logits`
    [1, classes], or [1] for a regression. Custom operations of tensorflow_text, which must be
    registered with the interpreter, tokenize, cut and pad text to `tokens`.

    Args:
        tokens: int, [CLS] and [SEP] included.
        precision: float32, float16 or int8 (dynamic range).

    Raises:
        UserError: the precision or the model's head is not supported; the disk is full.
    """
    if precision not in CONVERTER_PRECISIONS:
        known = ", ".join(CONVERTER_PRECISIONS)
        raise UserError(f"text files have no precision {precision!r}; expected one of {known}")
    graph = InferenceGraph(model.model, tokens)
    specs = [tf.TensorSpec([1], tf.string, name=name) for name in model.task.served_texts]

    @tf.function(input_signature=specs, autograph=False)
    def logits(*texts):
        inputs = model.tokenizer.encode_padded(*texts, max_tokens=tokens)
        return {"logits": graph(*inputs)}

    with saved(graph, {_SIGNATURE: logits}) as folder:
        content = convert(folder, [_SIGNATURE], precision, custom=True)
    write_file(path, pack(unpack(content)))
    return Path(path)


class LiteRtTextModel:
    """A LiteRT file with tokenizer in an interpreter.

    Args:
        path: the file.
        threads: int, CPU threads.
    """

    def __init__(self, path: str | Path, threads: int = 1):
        import tensorflow_text
        from ai_edge_litert.interpreter import InterpreterWithCustomOps

        self._interpreter = InterpreterWithCustomOps(
            model_path=str(path),
            num_threads=threads,
            custom_op_registerers=tensorflow_text.tflite_registrar.SELECT_TFTEXT_OPS,
        )
        self._run = self._interpreter.get_signature_runner()

    def logits(self, examples: Examples) -> np.ndarray:
        """Returns the logits of all examples, [examples, classes] or [examples]."""
        results = []
        names = TEXT_NAMES[: len(examples.columns)]
        for row in zip(*examples.columns, strict=True):
            inputs = {n: np.array([text.encode()]) for n, text in zip(names, row, strict=True)}
            results.append(self._run(**inputs)["logits"])
        return np.concatenate(results)
