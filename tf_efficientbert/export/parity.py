"""Compares the outputs of exported forms with the Keras model's."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tf_efficientbert.data.batching import EncodedExamples
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.saved_model import ServedModel
from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.tasks import LabelledTask

KERAS = "keras"


@dataclasses.dataclass(frozen=True)
class Form:
    """An exported form of a model.

    Attributes:
        answers: returns its outputs for all examples, [examples, classes] or [examples].
        probabilities: whether the outputs are probabilities; logits otherwise.
    """

    answers: Callable[[], np.ndarray]
    probabilities: bool = False


def saved_model_forms(
    version: str | Path, task: LabelledTask, examples: Examples, encoded: EncodedExamples
) -> dict[str, Form]:
    """Returns a form for each signature of a SavedModel.

    The forms are saved_model_text, _tokens, _examples, and _classify (a regression: _regress).
    """
    served = ServedModel(version, task.served_texts)
    own = {
        "classify": Form(lambda: served.scores(examples), probabilities=True),
        "regress": Form(lambda: served.values(examples)),
    }
    return {
        "saved_model_text": Form(lambda: served.logits_of_text(examples)),
        "saved_model_tokens": Form(lambda: served.logits_of_tokens(encoded)),
        "saved_model_examples": Form(lambda: served.logits_of_examples(examples)),
        f"saved_model_{task.served_as}": own[task.served_as],
    }


def parity(
    model: TextModel, forms: Mapping[str, Form], examples: Examples, encoded: EncodedExamples
) -> dict[str, dict]:
    """Runs all of `examples` through each form and compares it with the Keras model.

    Args:
        model: the Keras model.
        forms: the exported forms, by name.
        examples: labelled text.
        encoded: the same examples, encoded by the model.

    Returns: by form, "keras" first: `max_difference` and `mean_difference` of its logits or
        probabilities, `agreement` (for classes: the share of examples with Keras' prediction), and
        the task's scores. For a form with NaN or infinity, only `not_finite`, the number of such
        examples.

    Raises:
        UserError: the Keras model itself gives NaN or infinity.
    """
    logits = model.logits(encoded)
    if not np.isfinite(logits).all():
        raise UserError("the Keras model gives NaN or infinity for a text")
    report = {KERAS: _figures(logits, Form(lambda: logits), model.task, examples)}
    for name, form in tqdm(forms.items(), desc="compare exported forms", unit="form"):
        report[name] = _figures(logits, form, model.task, examples)
    return report


def _figures(logits: np.ndarray, form: Form, task: LabelledTask, examples: Examples) -> dict:
    values = form.answers()
    reference = np.asarray(task.probabilities(logits)) if form.probabilities else logits
    finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if not finite.all():
        return {"not_finite": int((~finite).sum())}
    difference = np.abs(values - reference)
    figures = {
        "max_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
    }
    form_logits = task.teacher_logits(values) if form.probabilities else values
    same = task.same_answers(form_logits, logits)
    if same is not None:
        figures["agreement"] = float(same.mean())
    return figures | task.score(form_logits, examples.labels)
