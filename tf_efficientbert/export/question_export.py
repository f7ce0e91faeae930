"""Exporting a question answering model."""

import logging
from pathlib import Path

from tf_efficientbert.data import squad
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.agreement import Limits
from tf_efficientbert.export.delivery import deliver
from tf_efficientbert.export.question_parity import question_parity
from tf_efficientbert.models.text_model import TextModel

__all__ = ["export_questions"]

_log = logging.getLogger(__name__)


def export_questions(
    model: TextModel,
    questions: str,
    squad_version: str,
    limit: int,
    job: Path,
    folder: Path,
    limits: Limits,
) -> dict:
    """Writes a SavedModel and compares it with Keras on questions; there is no LiteRT form.

    Args:
        questions: a file in SQuAD's format.
        squad_version: "1.1" or "2.0", which decides the scoring.
        limit: how many of the questions to compare on; 0 for all.
        job: the job's directory.
        folder: of the SavedModel's versions.
        limits: on the difference from Keras.

    Returns: {"saved_model", "metric", "parity", "parity_split"}, see `export`.

    Raises:
        UserError: the model answers no questions, the file cannot be read, a question has no answer
            under 1.1, or the SavedModel exceeds its limit.
    """
    if not model.task or model.task.served_as != "answer":
        raise UserError("--questions: --model is not a question answering model")
    asked = squad.load(questions)
    asked = asked[: limit or len(asked)]
    unanswerable = next((each.id for each in asked if not each.answers), None)
    if unanswerable is not None and squad_version == "1.1":
        raise UserError(
            f"{questions}: question {unanswerable!r} has no answer, which only SQuAD 2.0 allows; "
            "set --squad_version=2.0"
        )
    texts = Examples(
        tuple(each.question for each in asked), tuple(each.context for each in asked), None
    )
    name = Path(questions).name

    def compare(version: Path) -> dict:
        figures = question_parity(model, version, asked, squad_version)
        return {"split": name, "examples": len(asked), "forms": figures}

    version, report = deliver(model, job, folder, texts, compare, model.task.metrics, limits)
    _log.info("exported %s; question answering models have no LiteRT form", version)
    return {
        "saved_model": str(version),
        "metric": model.task.metrics[0],
        "parity": report["forms"],
        "parity_split": name,
    }
