"""Export as a SavedModel that TF Serving can load."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tf_efficientbert.data.batching import EncodedExamples, evaluation_batches
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.export.model_card import model_card
from tf_efficientbert.export.signature import PREDICT, SERVED_TOKENS, Signature
from tf_efficientbert.export.signatures import signatures
from tf_efficientbert.export.tf_example import as_example
from tf_efficientbert.export.warm_up_requests import write_warm_up_requests
from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.storage import file_lock, replaced_directory

_BATCH = 64


def export_saved_model(
    model: TextModel, folder: str | Path, examples: Examples | None = None
) -> Path:
    """Writes `folder`/VERSION/, VERSION one above the highest there; returns its path.

    The numbered folder appears only when it is complete. For its content, see `write_version`.

    Raises:
        UserError: the disk is full.
    """
    with file_lock(folder), replaced_directory(version := next_version(folder)) as new:
        write_version(model, new, version.parent.name, examples)
    return version


def next_version(folder: str | Path) -> Path:
    """Returns `folder`/VERSION, VERSION one above the highest there."""
    folder = Path(folder)
    versions = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
    return folder / str(max(versions, default=0) + 1)


def write_version(
    model: TextModel, version: Path, model_name: str, examples: Examples | None = None
) -> None:
    """Writes a SavedModel for TF Serving into the folder `version`.

    Signatures, for a batch of any size:
        serving_default: strings `text` [batch] (and `second_text` for pairs). The graph tokenizes
            text, cuts it at the model's max_tokens and pads it to the smallest of
            `buckets_for(max_tokens)` that holds the batch's longest text.
        tokens: int32 `input_word_ids`, `input_mask`, `input_type_ids`, each [batch, tokens], of
            any width; see `refit_tokens`.
        serving_examples: `examples` [batch], serialized tf.Example with the texts of
            serving_default as bytes features.
        classify (tasks with classes): `inputs` [batch] as `examples`; returns the strings `classes`
            and float32 `scores`, each [batch, classes]. TF Serving's Classify calls it.
        regress (regression): `inputs` as `examples`; returns float32 `outputs` [batch]. TF
            Serving's Regress calls it.
    Outputs of the first three: float32 `logits` and `probabilities` [batch, classes] and the
    strings `label` [batch]. A multilabel task returns `labels` [batch, classes] instead of `label`,
    with empty strings for absent labels; a regression returns `logits` [batch] only.

    Signatures of a question answering model (its task is a span):
        serving_default: strings `question` and `context` [batch]. A context that does not fit is
            cut; there is no sliding window. See `Tokenizer.encode_questions`.
        serving_examples: `examples` [batch] with these as features.
        tokens: as above; returns float32 `start_logits` and `end_logits` [batch, tokens].
    Outputs of the first two, each [batch]: the string `answer`, float32 `score` and
    `no_answer_score` (see `best_span`; if it is higher than `score`, a model trained on SQuAD 2.0
    predicts that there is no answer), and int32 `start` and `end`, the answer's position in the
    context in characters (code points): context[start:end] in Python.

    Assets: vocab.txt, labels.txt with a class per line, and model_card.md. With `examples`,
    assets.extra holds warm-up requests, see `write_warm_up_requests`.
    """
    found = signatures(model)
    _write_graphs(found, version)
    assets = version / "assets"  # may already hold files that the graph needs
    assets.mkdir(exist_ok=True)
    for name, lines in (("vocab.txt", model.tokenizer.vocabulary), ("labels.txt", model.labels)):
        (assets / name).write_text("".join(f"{line}\n" for line in lines), "utf-8")
    write_model_card(model, version, model_name)
    if examples is not None:
        write_warm_up_requests(model, found, examples, version, model_name)


def write_model_card(
    model: TextModel, version: Path, model_name: str, scores: Mapping[str, str] | None = None
) -> None:
    """Writes `version`/assets/model_card.md, see `model_card`."""
    path = version / "assets" / "model_card.md"
    path.write_text(model_card(model, model_name, scores), "utf-8")


def _write_graphs(found: dict[str, Signature], version: Path) -> None:
    # The archive finds the functions' variables by itself. With `track`, it would write each twice.
    archive = keras.export.ExportArchive()
    for name, signature in found.items():
        archive.add_endpoint(name, signature.function, input_signature=list(signature.inputs))
    archive.write_out(str(version), verbose=False)
    # Keras writes every signature with Predict's method name, which Classify and Regress refuse.
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(version))
    for name, signature in found.items():
        if signature.method != PREDICT:
            updater.replace_method_name(name, signature.method)
    updater.save()


class ServedModel:
    """A SavedModel version loaded back, to compare its outputs with the original's.

    Args:
        version: MODEL/VERSION.
        texts: the served names of its text inputs.
    """

    def __init__(self, version: str | Path, texts: Sequence[str]):
        import tensorflow_text  # noqa: F401  registers the tokenizer's operations

        self._texts = tuple(texts)
        self._loaded = tf.saved_model.load(str(version))

    def logits_of_text(self, examples: Examples) -> np.ndarray:
        """Returns logits of the serving_default signature, [examples, classes] or [examples]."""
        rows = list(zip(*examples.columns, strict=True))

        def inputs(batch):
            parts = zip(*batch, strict=True)
            return {name: list(part) for name, part in zip(self._texts, parts, strict=True)}

        return self._answers("serving_default", rows, inputs, "logits")

    def logits_of_examples(self, examples: Examples) -> np.ndarray:
        """Returns logits of the serving_examples signature, [examples, classes] or [examples]."""
        rows = self._serialized(examples)
        return self._answers("serving_examples", rows, lambda batch: {"examples": batch}, "logits")

    def scores(self, examples: Examples) -> np.ndarray:
        """Returns probabilities [examples, classes] of the classify signature."""
        rows = self._serialized(examples)
        return self._answers("classify", rows, lambda batch: {"inputs": batch}, "scores")

    def values(self, examples: Examples) -> np.ndarray:
        """Returns values [examples] of a regression's regress signature."""
        rows = self._serialized(examples)
        return self._answers("regress", rows, lambda batch: {"inputs": batch}, "outputs")

    def logits_of_tokens(self, encoded: EncodedExamples) -> np.ndarray:
        """Returns logits of the tokens signature, [examples, classes] or [examples]."""
        signature = self._loaded.signatures["tokens"]
        results = None
        for indices, batch in evaluation_batches(encoded, _BATCH):
            inputs = {served: tf.constant(batch[ours]) for ours, served in SERVED_TOKENS.items()}
            values = signature(**inputs)["logits"].numpy()
            if results is None:
                results = np.zeros((len(encoded), *values.shape[1:]), np.float32)
            results[indices] = values
        return results

    def _answers(self, name: str, rows: list, inputs, output: str) -> np.ndarray:
        """Returns one output of a signature for all rows; `inputs` turns rows into arguments."""
        signature, results = self._loaded.signatures[name], []
        for start in range(0, len(rows), _BATCH):
            given = inputs(rows[start : start + _BATCH])
            tensors = {key: tf.constant(values) for key, values in given.items()}
            results.append(signature(**tensors)[output].numpy())
        return np.concatenate(results)

    def _serialized(self, examples: Examples) -> list[bytes]:
        rows = zip(*examples.columns, strict=True)
        return [
            as_example(dict(zip(self._texts, row, strict=True))).SerializeToString() for row in rows
        ]
