import itertools
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tf_efficientbert.data.text_keys import key_hash, text_key


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Great, phone!", "great phone"),
        ("great\tphone\u2028", "GREAT  PHONE"),
        ("Straße", "STRASSE"),
        ("ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
        ("cafe\u0301", "CAFÉ"),
        ("3½ stars", "3 1/2 stars"),
        ("snake_case", "snake case"),
        ("good \u2764\ufe0f", "good \u2764"),
        ("“Ünïcode” — 你好。", "ünïcode 你好"),
        (" :-) ", ":-)"),
        (" \n", ""),
    ],
)
def test_keys_ignore_case_spaces_and_punctuation(text, same):
    assert text_key(text) == text_key(same)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("กิน", "กน"),  # the vowel is a combining mark
        ("कि", "के"),
        ("café", "cafe"),
        (":-)", ":-("),
        (":-)", ""),
        ("room 12", "room 13"),
        ("good 👍", "good 👎"),
        ("good 👍", "good"),
    ],
)
def test_keys_distinguish_letters_digits_and_vowels(text, other):
    assert text_key(text) != text_key(other)


@given(st.text(st.characters(codec="utf-8")))
def test_the_key_of_a_key_is_the_key(text):
    assert text_key(text_key(text)) == text_key(text)


@given(st.lists(st.lists(st.sampled_from(["", "a", "ab", "b", ":", "1:a", "11"]), min_size=1)))
def test_different_texts_and_pairs_have_different_keys(texts):
    keys = {}
    for parts in texts:
        keys.setdefault(text_key(*parts), set()).add(tuple(map(text_key, parts)))
    assert all(len(readings) == 1 for readings in keys.values())


def test_the_key_of_a_pair_depends_on_boundary_and_order():
    keys = [text_key("ab", "c"), text_key("a", "bc"), text_key("abc"), text_key("c", "ab")]
    assert all(one != other for one, other in itertools.combinations(keys, 2))


def test_a_hash_is_the_same_in_every_process():
    code = "from tf_efficientbert.data.text_keys import key_hash; print(key_hash('ключ'))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert int(printed) == key_hash("ключ")
    assert key_hash("") == 0xE3B0C44298FC1C14  # SHA-256 of nothing, its first eight bytes
