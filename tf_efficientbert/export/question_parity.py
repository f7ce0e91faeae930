"""Compares a served question answering model with the Keras model."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tf_efficientbert.data.squad import Question
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.parity import KERAS
from tf_efficientbert.export.question_signatures import LONGEST_ANSWER, found_answers
from tf_efficientbert.export.signature import SERVED_TOKENS
from tf_efficientbert.export.tf_example import as_example
from tf_efficientbert.export.token_batch import padded_batch
from tf_efficientbert.metrics import squad
from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.tasks import Span

_BATCH = 16
_Outputs = dict[str, np.ndarray]


def question_parity(
    model: TextModel, version: str | Path, questions: Sequence[Question], squad_version: str
) -> dict[str, dict]:
    """Runs all `questions` through the Keras model and each signature of its SavedModel.

    Args:
        model: the Keras model, whose task is a span.
        version: MODEL/VERSION of its SavedModel.
        questions: at least one.
        squad_version: "1.1", or "2.0", where the answer is empty if `no_answer_score` is the
            higher score.

    Returns: by form (keras, saved_model_text, saved_model_examples, saved_model_tokens): the
        largest and mean difference of the two scores from Keras', `agreement` (the share of answers
        with the same text and position), and `f1` and `exact_match`, as shares; or `not_finite`,
        see `parity`. Keras' answers are found in its logits by NumPy, those of `tokens` by the
        graph code of the other signatures.

    Raises:
        UserError: the Keras model itself gives NaN or infinity.
    """
    import tensorflow_text  # noqa: F401  registers the tokenizer's operations

    served = tf.saved_model.load(str(version)).signatures
    names = model.task.served_texts

    def of_examples(**texts: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = zip(*(part.numpy() for part in texts.values()), strict=True)
        examples = [as_example(dict(zip(names, row, strict=True))) for row in rows]
        serialized = [example.SerializeToString() for example in examples]
        return served["serving_examples"](examples=tf.constant(serialized))

    def of_tokens(question: tf.Tensor, context: tf.Tensor) -> dict[str, tf.Tensor]:
        token_ids, segment_ids, starts, ends = model.tokenizer.encode_questions(
            question, context, model.max_tokens
        )
        inputs = zip(
            SERVED_TOKENS.values(), padded_batch(model, token_ids, segment_ids), strict=True
        )
        return found_answers(context, starts, ends, served["tokens"](**dict(inputs)))

    forms = {
        KERAS: lambda **texts: _answered_directly(model, *texts.values()),
        "saved_model_text": served["serving_default"],
        "saved_model_examples": of_examples,
        "saved_model_tokens": of_tokens,
    }
    outputs = {form: _outputs(run, names, questions, form) for form, run in forms.items()}
    if not _is_finite(outputs[KERAS]).all():
        raise UserError("the Keras model gives NaN or infinity for a question")
    return {
        form: _figures(outputs[KERAS], values, questions, squad_version)
        for form, values in outputs.items()
    }


def _outputs(
    run: Callable[..., dict[str, tf.Tensor]],
    names: tuple[str, ...],
    questions: Sequence[Question],
    form: str,
) -> _Outputs:
    parts = []
    for start in tqdm(range(0, len(questions), _BATCH), desc=f"run {form}", unit="batch"):
        batch = questions[start : start + _BATCH]
        texts = ([each.question for each in batch], [each.context for each in batch])
        answers = run(**{n: tf.constant(part) for n, part in zip(names, texts, strict=True)})
        parts.append({name: np.asarray(value) for name, value in answers.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _answered_directly(model: TextModel, questions: tf.Tensor, contexts: tf.Tensor) -> _Outputs:
    """Returns what the signatures output, computed from the Keras model's logits by NumPy."""
    token_ids, segment_ids, starts, ends = model.tokenizer.encode_questions(
        questions, contexts, model.max_tokens
    )
    given = {"token_ids": token_ids, "segment_ids": segment_ids}
    inputs = {name: values.to_tensor() for name, values in given.items()}
    inputs["padding_mask"] = tf.ones_like(token_ids).to_tensor()
    logits = model.model(inputs, training=False)
    logits = [np.asarray(logits[name]) for name in model.task.output_names]
    rows = zip(*logits, starts.to_list(), ends.to_list(), contexts.numpy().tolist(), strict=True)
    answers = [_best_answer(*row) for row in rows]
    kinds = {"answer": object}  # bytes of any length
    return {n: np.array([each[n] for each in answers], kinds.get(n)) for n in answers[0]}


def _best_answer(
    start_logits: np.ndarray,
    end_logits: np.ndarray,
    starts: list[int],
    ends: list[int],
    context: bytes,
) -> dict:
    """Does the same as `best_span`, for one text.

    Args:
        starts, ends: byte offsets of the tokens in the context, -1 outside of it.
    """
    places = np.flatnonzero(np.array(starts) >= 0)
    choices = np.array([0, *places])  # [CLS] means no answer
    first, last = (_softmax(logits[choices]) for logits in (start_logits, end_logits))
    if not len(places):
        none = {"score": 0.0, "no_answer_score": first[0] * last[0]}
        return {**none, "answer": b"", "start": 0, "end": 0}
    length = places[None, :] - places[:, None]
    pairs = np.where((length >= 0) & (length < LONGEST_ANSWER), np.outer(first[1:], last[1:]), -1.0)
    i, j = np.unravel_index(pairs.argmax(), pairs.shape)
    start, end = starts[places[i]], ends[places[j]]
    return {
        "score": pairs[i, j],
        "no_answer_score": first[0] * last[0],
        "answer": context[start:end],
        "start": _characters(context[:start]),
        "end": _characters(context[:end]),
    }


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits.astype(np.float64) - logits.max())
    return exponents / exponents.sum()


def _characters(text: bytes) -> int:
    return len(text.decode("utf-8", "replace"))


def _is_finite(outputs: _Outputs) -> np.ndarray:
    return np.isfinite(outputs["score"]) & np.isfinite(outputs["no_answer_score"])


def _figures(
    reference: _Outputs, outputs: _Outputs, questions: Sequence[Question], squad_version: str
) -> dict:
    finite = _is_finite(outputs)
    if not finite.all():
        return {"not_finite": int((~finite).sum())}
    difference = np.abs(
        [outputs[name] - reference[name] for name in ("score", "no_answer_score")]
    ).max(axis=0)
    same = [outputs[name] == reference[name] for name in ("answer", "start", "end")]
    figures = {
        "max_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
        "agreement": float(np.all(same, axis=0).mean()),
    }
    return figures | question_scores(outputs, questions, squad_version)


def question_scores(
    outputs: _Outputs, questions: Sequence[Question], squad_version: str
) -> dict[str, float]:
    """Returns `f1` and `exact_match` of a signature's outputs, as shares."""
    answers = [answer.decode("utf-8") for answer in outputs["answer"].tolist()]
    if squad_version == "2.0":
        none = outputs["no_answer_score"] > outputs["score"]
        answers = ["" if is_none else text for text, is_none in zip(answers, none, strict=True)]
    asked = [{"id": q.id, "answers": [{"text": text} for text in q.answers]} for q in questions]
    predictions = {question.id: text for question, text in zip(questions, answers, strict=True)}
    dataset = {"data": [{"paragraphs": [{"qas": asked}]}]}
    scores = squad.compute(dataset, predictions, squad_version)
    return {metric: scores[metric] / 100 for metric in Span.known_metrics}
