import numpy as np
import pytest
import tensorflow as tf

from tests.models.small_models import small_architecture, small_task_model
from tests.models.small_text_models import VOCABULARY
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.export.model_card import model_card
from tf_efficientbert.export.question_signatures import best_span
from tf_efficientbert.export.saved_model import export_saved_model
from tf_efficientbert.export.warm_up_requests import FILE
from tf_efficientbert.models.text_model import TextModel, load
from tf_efficientbert.tasks import Span

pytestmark = pytest.mark.slow

_MAX_TOKENS = 80
_ODD = {
    "empty": ("word1", ""),
    "both empty": ("", ""),
    "accents and emoji": ("wörd1 who", "\U0001f600 Wörd2 日本 e\u0301tude, word3. \U0001f600word4"),
    "no question": ("", "word1 word2"),
    "control": ("\0", "\x01\x02"),
    "NUL": ("word1", "word2\0word3 \0 word4"),
    "long": ("word5 " * 200, "word6 word7 " * 87_382),
    "plain": ("word1 word2", "word3 word4 word5 unknown word7"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    architecture = small_architecture(["linear1_1(gelu(linear1_1(x,wb1)),wb2)"])
    network = small_task_model("span", architecture, max_positions=_MAX_TOKENS)
    folder = tmp_path_factory.mktemp("span")
    TextModel(network, Tokenizer(VOCABULARY), Span("squad"), _MAX_TOKENS).save(folder)
    return load(folder)


@pytest.fixture(scope="module")
def version(model, tmp_path_factory):
    questions, contexts = zip(*_ODD.values(), strict=True)
    folder = tmp_path_factory.mktemp("models") / "squad"
    return export_saved_model(model, folder, Examples(questions, contexts, None))


@pytest.fixture(scope="module")
def asked(version):
    return tf.saved_model.load(str(version)).signatures


def _answers(asked, pairs):
    question, context = (tf.constant(part) for part in zip(*pairs, strict=True))
    answers = asked["serving_default"](question=question, context=context)
    return {name: value.numpy() for name, value in answers.items()}


def _expected(model, question, context):
    """Returns (answer, score, start, end, score of no answer) by trying every span."""
    token_ids, segment_ids, starts, ends = model.tokenizer.encode_questions(
        [question], [context], _MAX_TOKENS
    )
    inputs = {"token_ids": token_ids.to_tensor(), "segment_ids": segment_ids.to_tensor()}
    outputs = model.model({**inputs, "padding_mask": tf.ones_like(inputs["token_ids"])})
    starts, ends = starts[0].numpy(), ends[0].numpy()
    places = np.flatnonzero(starts >= 0)
    choices = [0, *places]
    first, last = (
        dict(zip(choices, tf.nn.softmax(outputs[name].numpy()[0, choices]).numpy(), strict=True))
        for name in ("start_logits", "end_logits")
    )
    spans = [(first[i] * last[j], i, j) for i in places for j in places if i <= j < i + 30]
    none = first[0] * last[0]
    if not spans:
        return "", 0.0, 0, 0, none
    score, i, j = max(spans)
    text = context.encode()
    begin, end = len(text[: starts[i]].decode()), len(text[: ends[j]].decode())
    return context[begin:end], score, begin, end, none


def test_the_answer_is_the_best_span_with_its_position(model, asked):
    answers = _answers(asked, list(_ODD.values()))
    for row, (question, context) in enumerate(_ODD.values()):
        answer, score, start, end, none = _expected(model, question, context)
        assert answers["answer"][row].decode() == answer == context[start:end]
        assert (answers["start"][row], answers["end"][row]) == (start, end)
        np.testing.assert_allclose(answers["score"][row], score, rtol=1e-4)
        np.testing.assert_allclose(answers["no_answer_score"][row], none, rtol=1e-4)
    assert sum(bool(answer) for answer in answers["answer"]) == len(_ODD) - 3
    assert answers["score"].dtype == np.float32


def test_a_pair_gets_the_same_answer_alone_and_in_a_batch(asked):
    invalid = [(b"word1 \xff", b"word2 \xe6\x9d word3 \xff")]
    pairs = [*((q.encode(), c.encode()) for q, c in _ODD.values()), *invalid]
    batch = _answers(asked, pairs)
    for row, pair in enumerate(pairs):
        alone = _answers(asked, [pair])
        for name in ("answer", "start", "end"):
            assert alone[name][0] == batch[name][row]
        np.testing.assert_allclose(alone["score"][0], batch["score"][row], rtol=1e-4)


def test_serialized_examples_get_the_same_answers_as_texts(asked):
    question, context = (text.encode() for text in _ODD["plain"])

    def feature(text):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[text]))

    features = {"question": feature(question), "context": feature(context)}
    example = tf.train.Example(features=tf.train.Features(feature=features))
    answers = asked["serving_examples"](examples=tf.constant([example.SerializeToString()]))
    for name, value in _answers(asked, [(question, context)]).items():
        np.testing.assert_array_equal(answers[name], value)


def test_token_ids_give_logits(model, asked):
    ids = tf.constant([[2, 5, 3, 7, 8, 9, 3]])
    types = tf.constant([[0, 0, 0, 1, 1, 1, 1]])
    ones = tf.ones_like(ids)
    answers = asked["tokens"](input_word_ids=ids, input_mask=ones, input_type_ids=types)
    expected = model.model({"token_ids": ids, "segment_ids": types, "padding_mask": ones})
    for name in ("start_logits", "end_logits"):
        np.testing.assert_allclose(answers[name], expected[name], rtol=0, atol=1e-5)


def test_logits_are_as_wide_as_the_token_ids(asked):
    ids = tf.constant([[2, 5, 3, 7, 8, 9, 3]])
    given = {"input_word_ids": ids, "input_mask": tf.ones_like(ids), "input_type_ids": ids * 0}
    narrow = asked["tokens"](**given)
    wide = asked["tokens"](**{name: tf.pad(x, [[0, 0], [0, 593]]) for name, x in given.items()})
    for name, logits in narrow.items():
        assert logits.shape == (1, 7) and wide[name].shape == (1, 600)
        np.testing.assert_allclose(wide[name][:, :7], logits, rtol=0, atol=1e-5)


def test_a_span_is_in_order_short_and_in_the_context():
    start, end = np.zeros((1, 50), np.float32), np.zeros((1, 50), np.float32)
    start[0, [2, 10, 45]] = 9.0, 4.0, 5.0
    end[0, [39, 40, 30]] = 4.0, 5.0, 3.0
    in_context = np.zeros((1, 50), bool)
    in_context[0, 10:48] = True
    first, last, score, none = best_span(*map(tf.constant, (start, end, in_context)))
    # 45 comes after every end, 2 is out of the context, 10 to 40 are 31 tokens.
    assert (int(first[0]), int(last[0])) == (10, 39)
    choices = [0, *range(10, 48)]
    expected = [tf.nn.softmax(a[0, choices]).numpy() for a in (start, end)]
    np.testing.assert_allclose(score[0], expected[0][1] * expected[1][30], rtol=1e-5)
    np.testing.assert_allclose(none[0], expected[0][0] * expected[1][0], rtol=1e-5)


def test_questions_and_contexts_are_cut_as_documented(model):
    def lengths(question, context, max_tokens):
        encoded = model.tokenizer.encode_questions(
            ["word1 " * question], ["word2 " * context], max_tokens
        )
        ids, types, starts, _ = (part[0].numpy() for part in encoded)
        assert len(ids) <= max_tokens and (starts >= 0).sum() == types.sum() - 1
        return len(ids) - types.sum() - 2, types.sum() - 1

    assert lengths(5, 10, 80) == (5, 10)
    assert lengths(50, 100, 80) == (38, 39)  # 77 for both, half of it for the question
    assert lengths(5, 100, 80) == (5, 72)
    assert lengths(500, 1000, 384) == (64, 317)


def test_the_version_has_card_vocabulary_and_warm_up_requests(model, version):
    card = (version / "assets" / "model_card.md").read_text("utf-8")
    assert card == model_card(model, "squad")
    assert "`question` and `context` in" in card and "`classify`" not in card
    assert (version / "assets" / "labels.txt").read_bytes() == b""
    assert len(list(tf.data.TFRecordDataset(str(version / FILE)))) == 3 * 2 * 3
