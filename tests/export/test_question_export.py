import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.models.small_models import small_architecture, small_task_model
from tests.models.small_text_models import VOCABULARY, small_text_model
from tf_efficientbert.data.squad import Question
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.exporter import export
from tf_efficientbert.export.options import ExportOptions
from tf_efficientbert.export.question_parity import question_scores
from tf_efficientbert.metrics import squad
from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.tasks import Span

_MAX_TOKENS = 70  # not a multiple of eight
_CONTEXTS = ("word1 word2 word3 word4 word5", "word6, word7 word1. word2 " * 20)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a random question answering model."""
    architecture = small_architecture(["linear1_1(gelu(linear1_1(x,wb1)),wb2)"])
    network = small_task_model("span", architecture, max_positions=_MAX_TOKENS)
    folder = tmp_path_factory.mktemp("span") / "model"
    TextModel(network, Tokenizer(VOCABULARY), Span("squad"), _MAX_TOKENS).save(folder)
    return folder


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    """A file of ten questions about two contexts."""
    paragraphs = [
        {
            "context": context,
            "qas": [
                {"id": f"{i}-{n}", "question": f"word{n} ?", "answers": [{"text": f"word{n}"}]}
                for n in range(5)
            ],
        }
        for i, context in enumerate(_CONTEXTS)
    ]
    path = tmp_path_factory.mktemp("squad") / "dev.json"
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    return path


@pytest.fixture(scope="module")
def exported(model, questions, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    options = ExportOptions(model=str(model), questions=str(questions), output_dir=str(folder))
    result = export(options)
    assert export(options) == result  # a finished job returns the same result
    return folder, result


def _asked(result, questions, contexts):
    signature = tf.saved_model.load(result["saved_model"]).signatures["serving_default"]
    outputs = signature(question=tf.constant(questions), context=tf.constant(contexts))
    return {name: value.numpy() for name, value in outputs.items()}


@pytest.mark.slow
def test_the_version_s_scores_are_those_of_its_answers(exported, questions):
    folder, result = exported
    rows = [
        (f"{i}-{n}", f"word{n} ?", context) for i, context in enumerate(_CONTEXTS) for n in range(5)
    ]
    ids, texts, contexts = (list(part) for part in zip(*rows, strict=True))
    answers = [text.decode() for text in _asked(result, texts, contexts)["answer"]]
    assert len(set(answers)) > 1
    expected = squad.compute(questions, dict(zip(ids, answers, strict=True)), "1.1")
    forms = ("text", "examples", "tokens")
    assert list(result["parity"]) == ["keras", *(f"saved_model_{form}" for form in forms)]
    for figures in result["parity"].values():
        assert figures["max_difference"] < 1e-5 and figures["agreement"] == 1.0
        for metric in ("f1", "exact_match"):
            assert figures[metric] == pytest.approx(expected[metric] / 100)
    card = (Path(result["saved_model"]) / "assets" / "model_card.md").read_text("utf-8")
    assert f"- f1 on the 10 examples of the dev.json set: {expected['f1'] / 100:.4f}" in card
    kept = json.loads((folder / "parity.json").read_text("utf-8"))
    assert kept == {"split": "dev.json", "examples": 10, "forms": result["parity"]}


def test_the_answer_is_empty_if_no_answer_scores_higher():
    asked = [
        Question(str(n), "", "", answers) for n, answers in enumerate([("b",), (), (), ("d",)])
    ]
    outputs = {
        "answer": np.array([b"a", b"b", b"c", b"d"], object),
        "score": np.array([0.3, 0.1, 0.5, 0.6]),
        "no_answer_score": np.array([0.4, 0.2, 0.4, 0.1]),
    }
    # Correct: no answer for the second, "d" for the last. The third gets an answer but has none.
    assert question_scores(outputs, asked, "2.0") == {"f1": 0.5, "exact_match": 0.5}


def test_unanswerable_questions_are_refused_for_squad_1(model, tmp_path):
    question = {"id": "q7", "question": "?", "answers": []}
    paragraphs = [{"context": "word1", "qas": [question]}]
    path = tmp_path / "dev.json"
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    with pytest.raises(UserError, match="'q7' has no answer.*set --squad_version=2.0"):
        export(ExportOptions(model=str(model), questions=str(path), output_dir=str(tmp_path / "e")))
    assert not (tmp_path / "e" / "saved_model").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "not in SQuAD's JSON structure"),
        ('{"data": []}', "holds no questions"),
        ('{"data": [{"paragraphs": [{"qas": [{"id": "1"}]}]}]}', "KeyError: 'question'"),
        ("{", "dev.json"),
    ],
)
def test_a_file_without_valid_questions_is_refused(model, tmp_path, content, message):
    path = tmp_path / "dev.json"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        export(ExportOptions(model=str(model), questions=str(path), output_dir=str(tmp_path / "e")))


def test_a_model_of_another_task_is_refused(questions, tmp_path):
    small_text_model().save(tmp_path / "model")
    options = ExportOptions(
        model=str(tmp_path / "model"), questions=str(questions), output_dir=str(tmp_path / "e")
    )
    with pytest.raises(UserError, match="--questions: .* is not a question answering model"):
        export(options)
    with pytest.raises(UserError, match="--squad_version=3.0: expected one of 1.1, 2.0"):
        ExportOptions(model="m", squad_version="3.0")
