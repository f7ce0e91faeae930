"""BERT's normalization of text, as a model for TensorFlow Text's normalizer.

TensorFlow Text's own model folds case by NFKC ("½" becomes "1⁄2", "™" "tm") and puts spaces for
control characters. BERT's tokenizer lower-cases, decomposes by NFD and removes control characters
(tokenization.py of Devlin et al. 2018; Hugging Face's BertNormalizer). Both map a character at a
time, so a table of characters is all that differs.
"""

import functools
import unicodedata

import flatbuffers
import numpy as np

from tf_efficientbert.data.double_array import double_array

__all__ = ["normalized_character", "normalizer_model"]

_REPLACEMENT = "\ufffd"  # stands for undecodable bytes
# Categories: control, format and private use; accents.
_OTHER, _ACCENT = ("Cc", "Cf", "Co"), "Mn"
# Beyond the third plane there are only tags, unassigned characters and, from the 15th on, private
# use. The latter are too many for the table.
_LAST = 0x3FFFF
_TAGS = range(0xE0000, 0xE0200)

# Of a value in the trie: it is there; six bits are the length in the pool, the others the offset.
_IS_MAPPED, _LENGTH_BITS = 0x40000000, 6


def normalized_character(character: str, lower_case: bool, strip_accents: bool) -> str:
    """Returns what BERT's tokenizer makes of one character before it splits words.

    Args:
        lower_case: lower-case it.
        strip_accents: decompose it (NFD) and remove accents.
    """
    if character in "\t\n\r":
        return " "
    if character == _REPLACEMENT or unicodedata.category(character) in _OTHER:
        return ""
    if character.isspace():
        return " "
    if strip_accents:
        parts = unicodedata.normalize("NFD", character)
        character = "".join(part for part in parts if unicodedata.category(part) != _ACCENT)
    # Not the whole string at once: the end of a word would change a final sigma.
    return "".join(part.lower() for part in character) if lower_case else character


@functools.cache
def normalizer_model(lower_case: bool, strip_accents: bool) -> np.ndarray:
    """Returns the model, uint8, in the format of TensorFlow Text's FastBertNormalizer.

    Args:
        lower_case, strip_accents: see `normalized_character`.
    """
    pool, offsets, values = bytearray(), {}, {}
    for code in (*range(0xD800), *range(0xE000, _LAST + 1), *_TAGS):
        character = chr(code)
        result = normalized_character(character, lower_case, strip_accents)
        if result == character:
            continue
        encoded = result.encode("utf-8")
        if encoded not in offsets:
            offsets[encoded] = len(pool)
            pool += encoded
        place = offsets[encoded] << _LENGTH_BITS
        values[character.encode("utf-8")] = _IS_MAPPED | place | len(encoded)
    of_zero = values.pop(b"\0")  # the trie has no key for it
    return _flatbuffer(lower_case, double_array(values), of_zero, bytes(pool))


def _flatbuffer(lower_case: bool, trie: np.ndarray, of_zero: int, pool: bytes) -> np.ndarray:
    """Returns a FastBertNormalizerModel: its fields, in order, are the arguments."""
    builder = flatbuffers.Builder(trie.nbytes + len(pool) + 1024)
    trie_array = builder.CreateNumpyVector(trie)
    strings = builder.CreateByteVector(pool)
    builder.StartObject(4)
    builder.PrependBoolSlot(0, lower_case, False)
    builder.PrependUOffsetTRelativeSlot(1, trie_array, 0)
    builder.PrependInt32Slot(2, of_zero, 0)
    builder.PrependUOffsetTRelativeSlot(3, strings, 0)
    builder.Finish(builder.EndObject())
    return np.frombuffer(bytes(builder.Output()), np.uint8)
