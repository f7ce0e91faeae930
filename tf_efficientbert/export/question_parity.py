"""Does a served model that answers questions say what the Keras model says?"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tf_efficientbert.data.squad import Question
from tf_efficientbert.export.question_signatures import question_signatures
from tf_efficientbert.export.signature import text_names
from tf_efficientbert.export.tf_example import as_example
from tf_efficientbert.metrics import squad
from tf_efficientbert.models.text_model import TextModel

_log = logging.getLogger(__name__)

SQUAD_METRICS = ("f1", "exact_match")
_BATCH = 16
_Outputs = dict[str, np.ndarray]


def question_parity(
    model: TextModel, version: str | Path, questions: Sequence[Question], squad_version: str
) -> dict[str, dict]:
    """Asks the model all of `questions`, as it is and through each signature that takes text.

    Args:
        model: the Keras model, with a SpanHead.
        version: MODEL/VERSION of its SavedModel.
        questions: at least one.
        squad_version: "1.1", or "2.0", where the answer is empty if `no_answer_score` is the
            higher score.

    Returns: by form (keras, saved_model_text, saved_model_examples) the largest and mean difference
        of `score` to Keras', the share of equal answers (`agreement`), and `f1` and `exact_match`,
        as shares.
    """
    import tensorflow_text  # noqa: F401  registers the tokenizer's operations

    served = tf.saved_model.load(str(version)).signatures
    names = text_names(model)

    def of_examples(**texts: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = zip(*(part.numpy() for part in texts.values()), strict=True)
        examples = [as_example(dict(zip(names, row, strict=True))) for row in rows]
        serialized = [example.SerializeToString() for example in examples]
        return served["serving_examples"](examples=tf.constant(serialized))

    forms = {
        "keras": lambda **texts: question_signatures(model)["serving_default"].function(
            *texts.values()
        ),
        "saved_model_text": served["serving_default"],
        "saved_model_examples": of_examples,
    }
    outputs = {form: _asked(ask, names, questions, form) for form, ask in forms.items()}
    return {
        form: _compare(outputs["keras"], values) | _scores(values, questions, squad_version)
        for form, values in outputs.items()
    }


def _asked(
    ask: Callable[..., dict[str, tf.Tensor]],
    names: tuple[str, ...],
    questions: Sequence[Question],
    form: str,
) -> _Outputs:
    parts = []
    for start in tqdm(range(0, len(questions), _BATCH), desc=f"ask {form}", unit="batch"):
        batch = questions[start : start + _BATCH]
        texts = ([each.question for each in batch], [each.context for each in batch])
        answers = ask(**{n: tf.constant(part) for n, part in zip(names, texts, strict=True)})
        parts.append({name: value.numpy() for name, value in answers.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _compare(reference: _Outputs, outputs: _Outputs) -> dict[str, float]:
    difference = np.abs(outputs["score"] - reference["score"])
    return {
        "max_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
        "agreement": float(np.mean(outputs["answer"] == reference["answer"])),
    }


def _scores(
    outputs: _Outputs, questions: Sequence[Question], squad_version: str
) -> dict[str, float]:
    answers = [answer.decode("utf-8") for answer in outputs["answer"].tolist()]
    if squad_version == "2.0":
        none = outputs["no_answer_score"] > outputs["score"]
        answers = ["" if is_none else text for text, is_none in zip(answers, none, strict=True)]
    asked = [{"id": q.id, "answers": [{"text": text} for text in q.answers]} for q in questions]
    predictions = {question.id: text for question, text in zip(questions, answers, strict=True)}
    dataset = {"data": [{"paragraphs": [{"qas": asked}]}]}
    scores = squad.compute(dataset, predictions, squad_version)
    return {metric: scores[metric] / 100 for metric in SQUAD_METRICS}
