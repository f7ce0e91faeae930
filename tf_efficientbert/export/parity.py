"""Does every exported form of a model say the same thing?"""

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tf_efficientbert.data.task import Examples
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.litert import LiteRtModel
from tf_efficientbert.export.saved_model import ServedModel
from tf_efficientbert.metrics.score import score
from tf_efficientbert.models.text_model import TextModel

_CLASSIFY = "saved_model_classify"


def parity(
    model: TextModel, version: str, litert_paths: dict[str, str], examples: Examples
) -> dict[str, dict]:
    """Runs all of `examples` through each form and compares it with the Keras model.

    Args:
        model: the Keras model.
        version: MODEL/VERSION of its SavedModel.
        litert_paths: its LiteRT files by precision.

    Returns: by form (keras, saved_model_text, saved_model_tokens, saved_model_examples,
        saved_model_classify or saved_model_regress, litert_float32, litert_int8)
        `max_difference` and `mean_difference` of the logits (of the probabilities for
        saved_model_classify), the share of examples with the same answer as Keras (`agreement`,
        for classes), and the task's scores.
    """
    encoded = model.encode(examples)
    served = ServedModel(version)
    if model.task.is_regression:
        own = {"saved_model_regress": lambda: served.values(examples)}
    else:
        own = {_CLASSIFY: lambda: served.scores(examples)}
    forms = {
        "keras": lambda: model.logits(encoded),
        "saved_model_text": lambda: served.logits_of_text(examples),
        "saved_model_tokens": lambda: served.logits_of_tokens(encoded),
        "saved_model_examples": lambda: served.logits_of_examples(examples),
        **own,
        **{
            f"litert_{precision}": lambda path=path: LiteRtModel(path, threads=2).logits(encoded)
            for precision, path in litert_paths.items()
        },
    }
    bar = tqdm(forms.items(), desc="compare exported forms", unit="form")
    answers = {form: answer() for form, answer in bar}
    for form, values in answers.items():
        if not np.isfinite(values).all():
            raise UserError(f"{form} answers a text with NaN or infinity")
    references = dict.fromkeys(answers, answers["keras"])
    if _CLASSIFY in answers:  # which gives probabilities
        references[_CLASSIFY] = tf.nn.softmax(answers["keras"]).numpy()
    return {
        form: _compare(references[form], values) | score(model.task, values, examples.labels)
        for form, values in answers.items()
    }


def _compare(reference: np.ndarray, values: np.ndarray) -> dict[str, float]:
    difference = np.abs(values - reference)
    figures = {
        "max_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
    }
    if values.ndim == 2:
        same = values.argmax(axis=-1) == reference.argmax(axis=-1)
        figures["agreement"] = float(same.mean())
    return figures
