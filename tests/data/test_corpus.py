import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.small_text_models import VOCABULARY
from tf_efficientbert.data import speeches
from tf_efficientbert.data.corpus import encoded_corpus, read_sentences, split_sentences
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.errors import UserError

_PARAGRAPHS = {
    "plain": (
        "It was the best of times. It was the worst of times! Was it the age of wisdom? It was.",
        ["It was the best of times.", "It was the worst of times!", "Was it the age of wisdom?"]
        + ["It was."],
    ),
    "quotes": (
        '"Where are you going today?" She looked at him. (He said nothing to her.) "Well, then!"',
        ['"Where are you going today?"', "She looked at him. (He said nothing to her.)"]
        + ['"Well, then!"'],
    ),
    "no capital follows": (
        "The price is 3.50 e.g. for two of them... and so on and so forth.",
        ["The price is 3.50 e.g. for two of them... and so on and so forth."],
    ),
    "an abbreviation splits unless the piece is short": (
        "Mr. Smith went to Washington with the honourable Mr. Jones.",
        ["Mr. Smith went to Washington with the honourable Mr.", "Jones."],
    ),
    "short pieces join the next": ("No. Yes. I really do not know it.", None),
}


@pytest.mark.parametrize(("paragraph", "sentences"), _PARAGRAPHS.values(), ids=_PARAGRAPHS)
def test_a_paragraph_is_cut_at_the_ends_of_its_sentences(paragraph, sentences):
    assert list(split_sentences(paragraph)) == (sentences or [paragraph])


@given(st.text(st.sampled_from("Ab.!?\"') (\t\n\u2028\xa0"), max_size=80))
def test_cutting_loses_nothing_but_white_space(paragraph):
    pieces = list(split_sentences(paragraph))
    assert " ".join(pieces).split() == paragraph.split()
    assert all(len(piece) >= 20 for piece in pieces[:-1]) and all(pieces)


def test_every_word_of_the_speeches_is_read_in_order():
    text = "\n".join(speeches.paragraphs())
    sentences = read_sentences(["speeches"])
    assert " ".join(sentences).split() == text.split()
    assert len(sentences) > 2 * text.count("\n")
    longest = max(len(sentence.split()) for sentence in sentences)
    assert longest < max(len(line.split()) for line in text.split("\n"))
    assert not any(re.search(r"[a-z]{3}\. [A-Z][a-z]", s[20:-20]) for s in sentences)


def _write(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return path


def test_files_are_read_one_after_the_other(tmp_path):
    first = _write(tmp_path, "a.txt", "This is the first sentence. This is the second one.\n\n")
    second = _write(tmp_path, "b.txt", "This is the third sentence.")
    assert read_sentences([first, second, first]) == [
        *(earlier := ["This is the first sentence.", "This is the second one."]),
        "This is the third sentence.",
        *earlier,
    ]


@pytest.mark.parametrize(
    ("limit", "taken"), [(None, range(10)), (0, range(10)), (10, range(10)), (99, range(10))]
)
def test_all_sentences_are_read_without_a_smaller_limit(tmp_path, limit, taken):
    lines = [f"This is the sentence number {i}." for i in taken]
    assert read_sentences([_write(tmp_path, "a.txt", "\n".join(lines))], limit) == lines


@pytest.mark.parametrize(
    ("limit", "taken"), [(1, [0]), (2, [0, 5]), (3, [0, 3, 6]), (9, [0, 1, 2, 3, 4, 5, 6, 7, 8])]
)
def test_a_limit_takes_sentences_at_even_distances(tmp_path, limit, taken):
    lines = [f"This is the sentence number {i}." for i in range(10)]
    path = _write(tmp_path, "a.txt", "\n".join(lines))
    assert read_sentences([path], limit) == [lines[i] for i in taken]


@pytest.mark.parametrize("text", ["", "\n \n\t\n", "\ufeff"])
def test_a_file_without_text_is_named(tmp_path, text):
    with pytest.raises(UserError, match=r"a\.txt.*no text"):
        read_sentences([_write(tmp_path, "a.txt", text)])


def test_an_empty_file_beside_one_with_text_is_no_error(tmp_path):
    paths = [_write(tmp_path, "a.txt", ""), _write(tmp_path, "b.txt", "Here is some of it.")]
    assert read_sentences(paths) == ["Here is some of it."]


def test_a_file_that_is_not_utf_8_is_named_with_its_line(tmp_path):
    path = _write(tmp_path, "a.txt", b"Good so far.\ncaf\xe9\n")
    with pytest.raises(UserError, match=r"a\.txt, line 2: not UTF-8: byte 0xe9"):
        read_sentences([path])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.txt: no such file"):
        read_sentences([tmp_path / "absent.txt"])


def test_an_encoded_corpus_is_several_files_cut_and_thinned_out(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("word1 word2 word3 and so on\nword4 and then no more of it\n", "utf-8")
    tokenizer = Tokenizer(VOCABULARY)
    mine = encoded_corpus(f" {path},{path} ", 0, 5, tokenizer, pairs=False)
    assert mine.token_ids.tolist() == [2, 5, 6, 7, 3, 2, 8, 1, 1, 3] * 2
    both = encoded_corpus(f"speeches,snippets,{path}", 50, 128, tokenizer, pairs=False)
    assert len(both) == 50
    assert both.lengths.max() <= 128
    assert not both.segment_ids.any()
    pairs = encoded_corpus(f"speeches,snippets,{path}", 50, 128, tokenizer, pairs=True)
    assert len(pairs) < 25 and pairs.segment_ids.any()
    assert pairs.lengths.max() <= 128


def test_packing_of_the_default_text_trains_late_positions_and_second_segments():
    """Compares what share of positions 64 to 127, and of second segments, is trained on."""
    tokenizer = Tokenizer(VOCABULARY)
    late, second = {}, {}
    for pairs in (False, True):
        text = encoded_corpus("speeches", 3000, 128, tokenizer, pairs)
        late[pairs] = np.mean(np.maximum(text.lengths - 64, 0)) / 64
        second[pairs] = text.segment_ids.mean()
    assert late[False] < 0.1 < 0.6 < late[True]
    assert second[False] == 0 and 0.4 < second[True] < 0.6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"corpus": " , "}, "--corpus names no file"),
        ({"corpus": "absent.txt"}, "absent.txt: no such file"),
        ({"sentences": -1}, "--corpus_sentences=-1: expected 0 or more"),
        ({"max_tokens": 2}, "--corpus_max_tokens=2: expected 3 or more"),
    ],
)
def test_a_corpus_that_cannot_be_encoded_is_named_by_its_flag(arguments, message):
    with pytest.raises(UserError, match=message):
        encoded_corpus(
            **{"corpus": "speeches", "sentences": 0, "max_tokens": 128, **arguments},
            tokenizer=Tokenizer(VOCABULARY),
            pairs=False,
        )
