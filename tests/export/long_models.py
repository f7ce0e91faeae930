"""Small models for long text, with three buckets."""

from tests.models.small_models import small_architecture, small_task_model
from tests.models.small_text_models import TASKS, VOCABULARY
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.models.text_model import TextModel

BUCKETS = (64, 128, 152)
_TRIGRAM = small_architecture(["linear1_1(gelu(linear1_1(x,wb1)),wb2)"])


def long_model(kind="classification") -> TextModel:
    """One layer over trigrams, so that neighbouring tokens matter."""
    network = "classification" if kind == "pair" else kind
    model = small_task_model(network, _TRIGRAM, max_positions=BUCKETS[-1])
    return TextModel(model, Tokenizer(VOCABULARY), TASKS[kind], BUCKETS[-1])
