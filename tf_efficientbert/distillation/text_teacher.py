"""The teacher on raw text: a BERT before fine-tuning."""

from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.teacher import find_teacher, read_config
from tf_efficientbert.models.text_model import TextModel


def check_text_teacher(
    teacher_dir: str, corpus_max_tokens: int, supernet: TextModel, widths_must_agree: bool
) -> None:
    """Checks that a student can learn from a teacher on raw text.

    Args:
        teacher_dir: a BERT folder before fine-tuning, "" for the default one.
        corpus_max_tokens: the longest sentence of the corpus.
        supernet: the model that the student starts from.
        widths_must_agree: whether its fit projection must have the teacher's width.

    Raises:
        UserError: hidden size or vocabulary differ, or sentences are longer than the
            positions of either.
    """
    folder = find_teacher(teacher_dir)
    config, fit_size = read_config(folder), supernet.backbone.fit_size
    width = config["hidden_size"]
    if widths_must_agree and width != fit_size:
        raise UserError(
            f"--teacher_dir={folder} has hidden size {width}, but the supernet was distilled from "
            f"a teacher with {fit_size}"
        )
    if not supernet.tokenizer.same_tokens(Tokenizer.from_folder(folder)):
        raise UserError(
            f"--teacher_dir={folder}: the vocabulary differs from that of --supernet, or what it "
            "does with case and accents"
        )
    for name, positions in (
        ("the supernet", supernet.backbone.max_positions),
        (f"--teacher_dir={folder}", config["max_position_embeddings"]),
    ):
        if corpus_max_tokens > positions:
            raise UserError(
                f"--corpus_max_tokens={corpus_max_tokens}: {name} has only {positions} positions"
            )
