"""The vocabulary and the settings of a BERT's tokenizer, as other programs write them."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tf_efficientbert.data.text_file import read_json, read_lines
from tf_efficientbert.errors import UserError

__all__ = ["PAD", "TokenizerFiles", "arranged", "read_tokenizer_files"]

_log = logging.getLogger(__name__)

PAD = "[PAD]"
_MANY_CAPITALS = 0.1  # of the pieces; a BERT's cased vocabulary has more, an uncased one has none


class TokenizerFiles(NamedTuple):
    """What a folder says of its tokenizer.

    Attributes:
        path: the vocabulary's file.
        pieces: in the order of their ids.
        lower_case: lower-case text.
        strip_accents: remove accents; None: as `lower_case`.
    """

    path: Path
    pieces: list[str]
    lower_case: bool
    strip_accents: bool | None


def read_tokenizer_files(folder: str | Path) -> TokenizerFiles:
    """Reads vocab.txt, or the vocabulary in tokenizer.json, and the settings beside it.

    Settings are those of tokenizer_config.json; where it has none, tokenizer.json's. A keras_hub
    preset has them under other names.

    Raises:
        UserError: a file is missing or unreadable, or asks for something unsupported.
    """
    folder = Path(folder)
    whole = _object(folder / "tokenizer.json")
    if "config" in whole and "normalizer" not in whole:  # a keras_hub preset
        path = folder / "assets" / "tokenizer" / "vocabulary.txt"
        pieces, settings = _lines(path), {"do_lower_case": whole["config"].get("lowercase", True)}
    else:
        path = folder / "vocab.txt"
        if not path.is_file() and whole:
            path = folder / "tokenizer.json"
            pieces = _pieces(path, whole)
        else:
            pieces = _lines(path)
        settings = {**_normalizer(whole), **_object(folder / "tokenizer_config.json")}
    lower_case = settings.get("do_lower_case", True)
    if settings.get("tokenize_chinese_chars", True) is not True:
        raise UserError(
            f"{folder}: the tokenizer has tokenize_chinese_chars "
            f"{settings['tokenize_chinese_chars']}; only true is supported"
        )
    capitals = sum(piece != piece.lower() and piece[0] != "[" for piece in pieces if piece)
    if lower_case and capitals > _MANY_CAPITALS * len(pieces):
        _log.warning(
            "%s: %d pieces have capitals, but the tokenizer lower-cases text (do_lower_case)",
            path,
            capitals,
        )
    return TokenizerFiles(path, pieces, lower_case, settings.get("strip_accents"))


def arranged(pieces: Sequence[str], path: Path) -> list[str]:
    """Returns the vocabulary in our order: [PAD] is the first, and no piece stands twice.

    [PAD] changes places with the first piece, see `pad_row`. A repeated piece keeps its first id.
    """
    pieces = list(pieces)
    if PAD in pieces:
        row = pieces.index(PAD)
        pieces[0], pieces[row] = pieces[row], pieces[0]
    seen, repeated = set(), 0
    for i, piece in enumerate(pieces):
        if piece in seen:
            repeated += 1
            pieces[i] = f"[repeated {i}]"
        seen.add(piece)
    if repeated:
        _log.warning("%s: %d repeated pieces keep their first id", path, repeated)
    return pieces


def _lines(path: Path) -> list[str]:
    return [line for _, line in read_lines(path)]


def _object(path: Path) -> dict:
    """Returns the JSON object in a file, or {} if there is no such file."""
    given = read_json(path) if path.is_file() else {}
    if not isinstance(given, dict):
        raise UserError(f"{path} holds no JSON object")
    return given


def _pieces(path: Path, whole: dict) -> list[str]:
    model = whole.get("model")
    ids = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(ids, dict) or model.get("type", "WordPiece") != "WordPiece":
        raise UserError(f"{path} has no WordPiece vocabulary, and there is no vocab.txt beside it")
    pieces = sorted(ids, key=ids.get)
    if [ids[piece] for piece in pieces] != list(range(len(pieces))):
        raise UserError(f"{path}: the ids of the vocabulary are not 0, 1, 2, ...")
    return pieces


def _normalizer(whole: dict) -> dict:
    """Returns the settings of tokenizer.json by tokenizer_config.json's names."""
    normalizer = whole.get("normalizer")
    if not isinstance(normalizer, dict):
        return {}
    names = {
        "lowercase": "do_lower_case",
        "strip_accents": "strip_accents",
        "handle_chinese_chars": "tokenize_chinese_chars",
    }
    return {ours: normalizer[theirs] for theirs, ours in names.items() if theirs in normalizer}
