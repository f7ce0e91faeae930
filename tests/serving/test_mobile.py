"""The app snippets normalize text as the training tokenizer does."""

import re
import unicodedata
from pathlib import Path

from tests.models.small_text_models import VOCABULARY
from tf_efficientbert.data.tokenizer import Tokenizer

_NOTES = Path(__file__).parents[2] / "serving" / "mobile" / "README.md"


def _classes() -> list[str]:
    """Returns the character classes in the Kotlin snippet, in the order of their use."""
    found = re.findall(r'Regex\("([^"]*)"\)', _NOTES.read_text("utf-8"))
    return [pattern.replace("\\\\", "\\") for pattern in found]


def _is_in(character: str, pattern: str) -> bool:
    """Whether the character is in a class of escapes and categories."""
    categories = re.findall(r"\\p\{(\w+)\}", pattern)
    escapes = re.sub(r"\\p\{\w+\}", "", pattern).strip("[]")
    own = escapes.encode("ascii").decode("unicode_escape")
    return character in own or unicodedata.category(character).startswith(tuple(categories))


def _normalized(text: str) -> str:
    """Does the same steps as the Kotlin snippet."""
    spaces, removed, accents = _classes()
    spaced = "".join(" " if _is_in(c, spaces) else c for c in text)
    kept = "".join(c for c in spaced if not _is_in(c, removed))
    decomposed = unicodedata.normalize("NFD", kept)
    return "".join(c.lower() for c in decomposed if not _is_in(c, accents))


def test_the_snippet_s_normalization_gives_the_same_tokens():
    characters = [
        chr(code)
        for code in range(1, 0x10000)
        # Skips surrogates, and unnamed characters, on which Unicode versions differ.
        if unicodedata.category(chr(code)) not in ("Cs", "Cn")
    ]
    tokenizer = Tokenizer((*VOCABULARY[:5], "a", "b", "##a", "##b"))
    texts = [f"a{character}b" for character in characters]
    plain = [_normalized(text) for text in texts]
    as_given, as_normalized = (
        tokenizer.encode(part, None, 16)[0].to_list() for part in (texts, plain)
    )
    differing = [
        f"U+{ord(character):04X}"
        for character, one, other in zip(characters, as_given, as_normalized, strict=True)
        if one != other
    ]
    assert differing == []
