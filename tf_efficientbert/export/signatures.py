"""The signatures of any model that can be exported."""

from tf_efficientbert.export.question_signatures import question_signatures
from tf_efficientbert.export.sentence_signatures import sentence_signatures
from tf_efficientbert.export.signature import Signature, answers_questions
from tf_efficientbert.models.text_model import TextModel


def signatures(model: TextModel) -> dict[str, Signature]:
    """The model's signatures by name, see `write_version`."""
    if answers_questions(model):
        return question_signatures(model)
    return sentence_signatures(model)
