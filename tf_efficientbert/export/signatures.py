"""Signatures by kind of task."""

from tf_efficientbert.export.question_signatures import question_signatures
from tf_efficientbert.export.signature import Signature
from tf_efficientbert.export.text_signatures import text_signatures
from tf_efficientbert.models.text_model import TextModel

_MAKERS = {
    "classify": text_signatures,
    "regress": text_signatures,
    "answer": question_signatures,
}


def signatures(model: TextModel) -> dict[str, Signature]:
    """Returns the model's signatures by name, see `write_version`."""
    return _MAKERS[model.task.served_as](model)
