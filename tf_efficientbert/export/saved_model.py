"""Export as a SavedModel that TF Serving can load."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tf_efficientbert.data.batching import EncodedExamples, evaluation_batches
from tf_efficientbert.data.task import Examples
from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.storage import replaced_directory

_BATCH = 64
_TEXTS = ("sentences", "second_sentences")
_SERVED_NAMES = {
    "token_ids": "input_word_ids",
    "padding_mask": "input_mask",
    "segment_ids": "input_type_ids",
}


def export_saved_model(model: TextModel, folder: str | Path) -> Path:
    """Writes `folder`/VERSION/, VERSION one above the highest there; returns its path.

    Signatures, each with a batch of any size:
        serving_default: strings `sentences` [batch] (and `second_sentences` for pairs); text is
            tokenized, cut at the model's max_tokens and padded in the graph.
        tokens: int32 `input_word_ids`, `input_mask`, `input_type_ids`, each [batch, tokens].
    Outputs: float32 `logits` and `probabilities` [batch, classes] and the strings `label` [batch];
    of a regression `logits` [batch] alone. Assets: vocab.txt, and labels.txt with a class a line.

    A half-written version is never seen under its number.

    Raises:
        UserError: the disk is full.
    """
    folder = Path(folder)
    versions = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
    version = folder / str(max(versions, default=0) + 1)
    with replaced_directory(version) as new:
        archive = keras.export.ExportArchive()
        archive.track(model.model)
        texts = _TEXTS[: 2 if model.task.pair else 1]
        archive.add_endpoint(
            "serving_default",
            _text_endpoint(model),
            input_signature=[tf.TensorSpec([None], tf.string, name=name) for name in texts],
        )
        archive.add_endpoint(
            "tokens",
            _token_endpoint(model),
            input_signature=[
                tf.TensorSpec([None, None], tf.int32, name=name) for name in _SERVED_NAMES.values()
            ],
        )
        archive.write_out(str(new), verbose=False)
        _write_assets(model, new / "assets")
    return version


def _write_assets(model: TextModel, folder: Path) -> None:
    # Beside what the graph itself needs: Keras' archive takes in no asset of ours.
    folder.mkdir(exist_ok=True)
    contents = {"vocab.txt": model.tokenizer.vocabulary, "labels.txt": model.labels}
    for name, lines in contents.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines), "utf-8")


def _text_endpoint(model: TextModel):
    def answer(*texts):
        token_ids, segment_ids = model.tokenizer.encode(*texts, max_tokens=model.max_tokens)
        inputs = {
            "token_ids": token_ids.to_tensor(),
            "padding_mask": tf.ones_like(token_ids).to_tensor(),
            "segment_ids": segment_ids.to_tensor(),
        }
        return _answers(model, inputs)

    # The served names of the inputs are those of the function's arguments.
    if model.task.pair:
        return lambda sentences, second_sentences: answer(sentences, second_sentences)
    return lambda sentences: answer(sentences)


def _token_endpoint(model: TextModel):
    def tokens(input_word_ids, input_mask, input_type_ids):
        served = (input_word_ids, input_mask, input_type_ids)
        return _answers(model, dict(zip(_SERVED_NAMES, served, strict=True)))

    return tokens


def _answers(model: TextModel, inputs) -> dict:
    logits = model.model(inputs)["logits"]
    if model.task.is_regression:
        return {"logits": logits}
    labels = tf.gather(tf.constant(model.labels), tf.argmax(logits, axis=-1))
    return {"logits": logits, "probabilities": tf.nn.softmax(logits), "label": labels}


class ServedModel:
    """A SavedModel version read back, for comparing what it says with the original.

    Args:
        version: MODEL/VERSION.
    """

    def __init__(self, version: str | Path):
        import tensorflow_text  # noqa: F401  registers the tokenizer's operations

        self._loaded = tf.saved_model.load(str(version))

    def logits_of_text(self, examples: Examples) -> np.ndarray:
        """Logits of the serving_default signature, [examples, classes] or [examples]."""
        texts = [t for t in (examples.sentences, examples.second_sentences) if t is not None]
        signature = self._loaded.signatures["serving_default"]
        results = []
        for start in range(0, len(examples), _BATCH):
            batch = [tf.constant(part[start : start + _BATCH]) for part in texts]
            results.append(signature(**dict(zip(_TEXTS, batch, strict=False)))["logits"].numpy())
        return np.concatenate(results)

    def logits_of_tokens(self, encoded: EncodedExamples) -> np.ndarray:
        """Logits of the tokens signature, [examples, classes] or [examples]."""
        signature = self._loaded.signatures["tokens"]
        results = None
        for indices, batch in evaluation_batches(encoded, _BATCH):
            inputs = {served: tf.constant(batch[ours]) for ours, served in _SERVED_NAMES.items()}
            values = signature(**inputs)["logits"].numpy()
            if results is None:
                results = np.zeros((len(encoded), *values.shape[1:]), np.float32)
            results[indices] = values
        return results
