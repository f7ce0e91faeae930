"""The app snippets normalize text as the training tokenizer does."""

import re
import unicodedata
from pathlib import Path

from tests.models.small_text_models import VOCABULARY
from tf_efficientbert.data.tokenizer import Tokenizer

_NOTES = Path(__file__).parents[2] / "serving" / "mobile" / "README.md"


def _invisible() -> str:
    """Returns the character class in the Kotlin snippet's constant."""
    (declared,) = re.findall(
        r"const val INVISIBLE = ((?:\"[^\"]*\"[ +\n]*)+)", _NOTES.read_text("utf-8")
    )
    parts = "".join(re.findall(r'"([^"]*)"', declared))
    return parts.replace("\\\\u", "\\u")


def _normalized(text: str, invisible: re.Pattern) -> str:
    """Does the same steps as the Kotlin snippet."""
    plain = unicodedata.normalize("NFKC", text).lower().replace("ß", "ss").replace("ς", "σ")
    letters = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", plain))
    kept = [c for c in letters if unicodedata.category(c) != "Mn" and not invisible.match(c)]
    spaces = ("Cc", "Cf", "Zs", "Zl", "Zp")
    return "".join(" " if unicodedata.category(c) in spaces else c for c in kept)


def test_the_snippet_s_normalization_gives_the_same_tokens():
    invisible = re.compile(f"[{_invisible()}]")
    assert invisible.match("\u200b") and not invisible.match("a")
    characters = [
        chr(code)
        for code in range(1, 0x10000)
        # Skips surrogates, and unnamed characters, on which Unicode versions differ.
        if unicodedata.category(chr(code)) not in ("Cs", "Cn", "Co")
    ]
    tokenizer = Tokenizer((*VOCABULARY[:5], "a", "b", "##a", "##b"))
    texts = [f"a{character}b" for character in characters]
    plain = [_normalized(text, invisible) for text in texts]
    as_given, as_normalized = (
        tokenizer.encode(part, None, 16)[0].to_list() for part in (texts, plain)
    )
    differing = [
        f"U+{ord(character):04X}"
        for character, one, other in zip(characters, as_given, as_normalized, strict=True)
        if one != other
    ]
    # Greek iota subscript is a mark for the snippet and a letter for case folding.
    assert differing == ["U+0345", "U+037A"]
