"""Does every exported form of a model say the same thing?"""

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
    """A form that a model was exported in.

    Attributes:
        answers: gives its answers to all examples, [examples, classes] or [examples].
        probabilities: whether they are probabilities; logits otherwise.
    """

    answers: Callable[[], np.ndarray]
    probabilities: bool = False


def saved_model_forms(
    version: str | Path, task: LabelledTask, examples: Examples, encoded: EncodedExamples
) -> dict[str, Form]:
    """Each signature of a SavedModel as a form: saved_model_text, _tokens, _examples, and
    _classify, or of a regression _regress."""
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
        forms: what was exported of it, by name.
        examples: labelled text; `encoded` is the same, encoded by the model.

    Returns: by form, "keras" first, `max_difference` and `mean_difference` of its logits or
        probabilities, the share of examples with the same answer as Keras (`agreement`, for
        classes), and the task's scores. Of a form that answers anything with NaN or infinity
        only `not_finite`, the number of such examples.

    Raises:
        UserError: the Keras model itself answers with NaN or infinity.
    """
    logits = model.logits(encoded)
    if not np.isfinite(logits).all():
        raise UserError("the Keras model answers a text with NaN or infinity")
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
    theirs = task.teacher_logits(values) if form.probabilities else values
    same = task.same_answers(theirs, logits)
    if same is not None:
        figures["agreement"] = float(same.mean())
    return figures | task.score(theirs, examples.labels)
