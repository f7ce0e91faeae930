"""Keys that compare texts regardless of case, spaces and punctuation."""

import hashlib
import re
import unicodedata
from itertools import takewhile

__all__ = ["key_hash", "text_key"]

_BETWEEN_LETTERS = re.compile(r"[\W_]+")


def text_key(*texts: str) -> str:
    """Returns the normalized form of a text, or of a pair.

    Compatibility forms and case are folded (NFKC, then casefold). Only letters and digits are
    kept, with the combining marks that follow them (vowels in Thai or Hindi), and pictures such as
    emoji. A text without any of these, such as ":-)", keeps its folded form, stripped.

    Args:
        *texts: one text, or the texts of a pair in their order.

    Returns:
        The key. Two pairs have the same key if their first texts and their second texts do; a
        single text never has the key of a pair.
    """
    keys = [_normalized(text) for text in texts]
    if len(keys) == 1:
        return keys[0]
    # The key of a single text never has both digits and a colon; the lengths delimit the texts.
    return "".join(f"{len(key)}:{key}" for key in keys)


def key_hash(key: str) -> int:
    """Returns a 64-bit hash of a key, the same in every process and on every machine."""
    return int.from_bytes(hashlib.sha256(key.encode("utf-8")).digest()[:8], "big")


def _normalized(text: str) -> str:
    # Case folding can undo the normal form, so it is applied again.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _BETWEEN_LETTERS.sub(_marks_and_symbols, folded) or folded.strip()


def _marks_and_symbols(match: re.Match) -> str:
    between = match[0]
    if between.isascii():
        return ""
    marks = takewhile(lambda sign: unicodedata.category(sign)[0] == "M", between)
    leading = "" if match.start() == 0 else "".join(marks)
    return leading + "".join(sign for sign in between if unicodedata.category(sign) == "So")
