"""Does every exported form of a model say the same thing?"""

import numpy as np
from tqdm import tqdm

from tf_efficientbert.data.task import Examples
from tf_efficientbert.export.litert import LiteRtModel
from tf_efficientbert.export.saved_model import ServedModel
from tf_efficientbert.metrics.score import score
from tf_efficientbert.models.text_model import TextModel


def parity(
    model: TextModel, version: str, litert_paths: dict[str, str], examples: Examples
) -> dict[str, dict]:
    """Runs all of `examples` through each form and compares it with the Keras model.

    Args:
        model: the Keras model.
        version: MODEL/VERSION of its SavedModel.
        litert_paths: its LiteRT files by precision.

    Returns: by form (keras, saved_model_text, saved_model_tokens, litert_float32, litert_int8)
        `max_difference` and `mean_difference` of the logits, the share of examples with the same
        answer as Keras (`agreement`, for classes), and the task's scores.
    """
    encoded = model.encode(examples)
    served = ServedModel(version)
    forms = {
        "keras": lambda: model.logits(encoded),
        "saved_model_text": lambda: served.logits_of_text(examples),
        "saved_model_tokens": lambda: served.logits_of_tokens(encoded),
        **{
            f"litert_{precision}": lambda path=path: LiteRtModel(path, threads=2).logits(encoded)
            for precision, path in litert_paths.items()
        },
    }
    bar = tqdm(forms.items(), desc="compare exported forms", unit="form")
    logits = {form: answer() for form, answer in bar}
    return {
        form: _compare(logits["keras"], values) | score(model.task, values, examples.labels)
        for form, values in logits.items()
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
