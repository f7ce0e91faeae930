import re

import numpy as np
import pytest

from tests.compression.tiny_compression import tiny_options, write_models
from tests.models.small_text_models import (
    TASKS,
    VOCABULARY,
    WORDS,
    small_examples,
    small_text_model,
    write_examples,
    write_lines,
)
from tf_efficientbert.compression.compress import compress
from tf_efficientbert.compression.vocabulary import used_pieces, with_pieces
from tf_efficientbert.data.batching import encode
from tf_efficientbert.data.tokenizer import SPECIAL_TOKENS, Tokenizer
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.text_model import TextModel, load

_PIECES = ("[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "a", "##b", "ab", "##bb", "abbb", "b")


def _kept(texts, least):
    tokenizer = Tokenizer(_PIECES)
    examples = encode(tokenizer, texts, max_tokens=16)
    return [_PIECES[piece] for piece in used_pieces(tokenizer, examples, least)]


def test_special_tokens_single_characters_and_used_pieces_stay():
    always = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "##b", "b"]
    assert _kept(["a"], 1) == always
    assert _kept(["ab abbb"], 1) == [*always[:6], "ab", "abbb", "b"]
    assert _kept(["ab abbb ab"], 2) == [*always[:6], "ab", "b"]


@pytest.fixture(scope="module")
def student():
    return small_text_model(seed=3)


def test_texts_of_the_kept_pieces_have_the_same_logits(student):
    examples = small_examples(student.task, count=6)
    encoded = student.encode(examples)
    smaller = with_pieces(student, used_pieces(student.tokenizer, encoded, 1))
    assert smaller.backbone.vocabulary_size == len(smaller.tokenizer.vocabulary)
    assert len(smaller.tokenizer.vocabulary) < len(VOCABULARY)
    again = smaller.encode(examples)
    np.testing.assert_array_equal(again.lengths, encoded.lengths)
    np.testing.assert_allclose(smaller.logits(again), student.logits(encoded), rtol=0, atol=1e-6)


class _Killed(BaseException):
    pass


def _killed(self, folder):
    raise _Killed


@pytest.fixture
def options(tmp_path):
    """options(compress, **changes): of a compression with four training texts."""
    write_models(tmp_path)
    task = TASKS["classification"]
    rows = write_examples(tmp_path / "few.tsv", task, small_examples(task, count=4))
    values = {"train_file": rows, "dev_file": rows, "batch_size": 4, "epochs": 1.0}
    return lambda compress, **changes: tiny_options(tmp_path, compress, **{**values, **changes})


def test_the_vocabulary_of_a_compressed_student_is_that_of_its_texts(options, tmp_path):
    whole = options("prune(0.5),vocabulary(1)", output_dir=str(tmp_path / "run"))
    with pytest.MonkeyPatch.context() as patch:  # killed before the student is saved
        patch.setattr(TextModel, "save", _killed)
        with pytest.raises(_Killed):
            compress(whole)
    result = compress(whole)
    small = load(tmp_path / "run" / "model")
    student = load(tmp_path / "student")
    encoded = student.encode(small_examples(student.task, count=4))
    words = {VOCABULARY[piece] for piece in encoded.token_ids}
    assert set(small.tokenizer.vocabulary) == words | set(SPECIAL_TOKENS)
    before, pruned, last = result["steps"]
    assert (pruned["step"], last["step"]) == ("prune(0.5)", "vocabulary(1)")
    rows = len(VOCABULARY) - len(small.tokenizer.vocabulary)
    width = small.backbone.embedding.token_width
    assert rows > 0 and pruned["parameters"] - last["parameters"] == rows * width
    assert last["parameters"] == small.model.count_params() == result["parameters"]
    assert last["int8_bytes"] < pruned["int8_bytes"] == before["int8_bytes"]
    assert last["dev_accuracy"] == pruned["dev_accuracy"]  # dev has no other pieces


def test_texts_without_labels_keep_their_pieces(options, tmp_path):
    texts = small_examples(TASKS["classification"], count=4).texts
    absent = sorted({*WORDS} - {word for text in texts for word in text.split()})[:3]
    texts = write_lines(tmp_path / "texts.txt", ["text", " ".join(absent)])
    compress(options("vocabulary(1)", output_dir=str(tmp_path / "run"), unlabelled_file=texts))
    assert set(absent) <= set(load(tmp_path / "run" / "model").tokenizer.vocabulary)


def test_quantized_weights_stay_on_their_grid_although_the_largest_row_is_gone(options, tmp_path):
    student = load(tmp_path / "student")
    encoded = student.encode(small_examples(student.task, count=4))
    absent = sorted({*range(len(VOCABULARY))} - {*encoded.token_ids.tolist()})[-1]
    table = student.backbone.embedding.token_table
    values = table.numpy()
    values[absent] *= 50
    table.assign(values)
    student.save(tmp_path / "student")
    output_dir = str(tmp_path / "run")
    result = compress(options("quantize(int8),vocabulary(1)", output_dir=output_dir))
    small = load(f"{output_dir}/model")
    assert VOCABULARY[absent] not in small.tokenizer.vocabulary
    values = small.backbone.embedding.token_table.numpy()
    steps = values / (np.abs(values).max() / 127)
    np.testing.assert_allclose(steps, np.round(steps), rtol=0, atol=1e-3)
    assert len(np.unique(np.round(steps))) > 50  # and not on the coarse grid of the row that left
    logits = small.logits(small.encode(small_examples(small.task, count=4)))
    score = small.task.score(logits, small_examples(small.task, count=4).labels)["accuracy"]
    assert result["steps"][-1]["dev_accuracy"] == pytest.approx(score)


def test_the_vocabulary_alone_needs_no_teacher(options, tmp_path):
    result = compress(options("vocabulary(1)", output_dir=str(tmp_path / "run"), teacher=""))
    assert [row["step"] for row in result["steps"]] == ["as it was", "vocabulary(1)"]
    with pytest.raises(UserError, match="set either --teacher"):
        options("prune(0.5),vocabulary(1)", teacher="")


@pytest.mark.parametrize("kind", ["regression", "multilabel"])
def test_other_kinds_of_task(kind):
    student = small_text_model(kind)
    examples = small_examples(student.task, count=6)
    encoded = student.encode(examples)
    smaller = with_pieces(student, used_pieces(student.tokenizer, encoded, 1))
    again = smaller.logits(smaller.encode(examples))
    np.testing.assert_allclose(again, student.logits(encoded), rtol=0, atol=1e-6)


def test_the_vocabulary_shrinks_last(options):
    with pytest.raises(UserError, match="vocabulary must be the last step"):
        options("vocabulary(1),prune(0.5)")
    for wrong in ("vocabulary(0)", "vocabulary(0.5)", "vocabulary()"):
        with pytest.raises(UserError, match=re.escape(wrong)):
            options(wrong)
