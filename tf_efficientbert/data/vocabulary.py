"""The vocabulary and the settings of a BERT's tokenizer, as other programs write them."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tf_efficientbert.data.text_file import read_json, read_lines, shown
from tf_efficientbert.errors import UserError

__all__ = ["PAD", "TokenizerFiles", "arranged", "read_tokenizer_files", "row_order"]

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
    path = folder / "vocab.txt"
    if isinstance(whole.get("config"), dict):  # a keras_hub preset
        path = folder / "assets" / "tokenizer" / "vocabulary.txt"
        pieces, settings = _lines(path), _preset_settings(whole["config"])
    else:
        own = _object(folder / "tokenizer_config.json")
        if path.is_file() or not whole:
            pieces = _lines(path)
        else:
            path = folder / "tokenizer.json"
            pieces = _pieces(path, whole)
        settings = {**_normalizer_settings(folder, whole, own), **own}
    lower_case, strip_accents = settings.get("do_lower_case", True), settings.get("strip_accents")
    if not isinstance(lower_case, bool):
        raise UserError(f"{folder}: do_lower_case is {shown(lower_case)}, expected true or false")
    if not (strip_accents is None or isinstance(strip_accents, bool)):
        raise UserError(
            f"{folder}: strip_accents is {shown(strip_accents)}, expected true, false or null"
        )
    if settings.get("tokenize_chinese_chars", True) is not True:
        raise UserError(
            f"{folder}: the tokenizer has tokenize_chinese_chars "
            f"{settings['tokenize_chinese_chars']}; only true is supported"
        )
    return TokenizerFiles(path, pieces, lower_case, strip_accents)


def row_order(pieces: Sequence[str]) -> list[int]:
    """Returns the places of the pieces in our order: [PAD] and the first piece are exchanged."""
    order = list(range(len(pieces)))
    if PAD in pieces:
        pad = pieces.index(PAD)
        order[0], order[pad] = pad, 0
    return order


def arranged(files: TokenizerFiles) -> list[str]:
    """Returns the vocabulary in our order, see `row_order`, and warns of what is unusual in it.

    Of a repeated piece the last one counts, as for BERT's own tokenizer; the others get names that
    no text has.
    """
    pieces = [files.pieces[row] for row in row_order(files.pieces)]
    last = {piece: i for i, piece in enumerate(pieces)}
    if len(last) < len(pieces):
        repeated = len(pieces) - len(last)
        _log.warning("%s: of %d repeated pieces the last one counts", files.path, repeated)
        pieces = [p if last[p] == i else f"[repeated {i}]" for i, p in enumerate(pieces)]
    capitals = sum(piece != piece.lower() and piece[0] != "[" for piece in pieces if piece)
    if files.lower_case and capitals > _MANY_CAPITALS * len(pieces):
        _log.warning(
            "%s: %d pieces have capitals, but the tokenizer lower-cases text (do_lower_case)",
            files.path,
            capitals,
        )
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
    if set(map(str, ids.values())) != set(map(str, range(len(ids)))):
        raise UserError(f"{path}: the ids of the vocabulary are not 0, 1, 2, ...")
    return sorted(ids, key=lambda piece: int(ids[piece]))


def _preset_settings(config: dict) -> dict:
    """Returns a preset's settings by tokenizer_config.json's names; both are False by default."""
    return {
        "do_lower_case": config.get("lowercase", False),
        "strip_accents": config.get("strip_accents", False),
    }


def _normalizer_settings(folder: Path, whole: dict, config: dict) -> dict:
    """Returns the settings in tokenizer.json by tokenizer_config.json's names.

    Raises:
        UserError: its normalizer is not BERT's, and tokenizer_config.json has no settings either.
    """
    normalizer = whole.get("normalizer")
    if isinstance(normalizer, dict) and normalizer.get("type") == "BertNormalizer":
        names = {
            "lowercase": "do_lower_case",
            "strip_accents": "strip_accents",
            "handle_chinese_chars": "tokenize_chinese_chars",
        }
        return {ours: normalizer[theirs] for theirs, ours in names.items() if theirs in normalizer}
    if whole and "do_lower_case" not in config:
        kind = normalizer.get("type") if isinstance(normalizer, dict) else normalizer
        raise UserError(
            f"{folder / 'tokenizer.json'}: the normalizer is {kind}, expected BertNormalizer; or "
            "set do_lower_case in tokenizer_config.json"
        )
    return {}
