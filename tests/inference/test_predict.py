import json

import pytest

from tests.models.small_models import MAX_POSITIONS, small_task_model
from tests.models.small_text_models import TASKS, VOCABULARY, small_supernet
from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.huggingface import export_huggingface
from tf_efficientbert.inference import PredictOptions, predict
from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.tasks import Span


def _asked(folders, kind="classification", **options):
    return predict(PredictOptions(model=folders[kind], **options))["predictions"]


def test_a_text_gets_the_model_s_prediction(folders, models):
    (answer,) = _asked(folders, text="word1 word2")
    (expected,) = models["classification"].predict(["word1 word2"])
    assert answer == {
        "text": "word1 word2",
        "second_text": "",
        "label": expected.label,
        "score": pytest.approx(expected.score),
    }


def test_a_pair_gets_the_model_s_prediction(folders, models):
    (answer,) = _asked(folders, "pair", text="word1", second_text="word2 word3")
    (expected,) = models["pair"].predict(["word1"], ["word2 word3"])
    assert (answer["text"], answer["second_text"]) == ("word1", "word2 word3")
    assert (answer["label"], answer["score"]) == (expected.label, pytest.approx(expected.score))


@pytest.mark.parametrize("kind", TASKS)
def test_a_file_with_or_without_labels_gets_a_prediction_per_line(
    folders, models, examples, files, kind
):
    known = examples[kind]
    answers = _asked(folders, kind, input_file=files[kind])
    expected = models[kind].predict(known.texts, known.second_texts)
    assert [answer["text"] for answer in answers] == list(known.texts)
    assert [answer["label"] for answer in answers] == [e.label for e in expected]
    assert [a["score"] for a in answers] == pytest.approx([e.score for e in expected], abs=1e-5)


def test_with_an_output_directory_a_table_is_written(folders, files, tmp_path):
    out = str(tmp_path / "out")
    answers = _asked(folders, "pair", input_file=files["pair"], output_dir=out)
    lines = (tmp_path / "out" / "predictions.tsv").read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    assert rows[0] == ["text", "second_text", "label", "score"]
    assert rows[1:] == [[str(value) for value in answer.values()] for answer in answers]
    assert _asked(folders, "pair", input_file=files["pair"], output_dir=out) == answers


def test_without_an_output_directory_nothing_is_written(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _asked(folders, text="word1")
    assert list(tmp_path.iterdir()) == []


def test_tabs_and_line_breaks_in_a_text_do_not_break_the_table(folders, tmp_path):
    texts = ["word1\tword2\nword3", "word4"]
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts), "utf-8")
    answers = _asked(folders, input_file=str(path), output_dir=str(tmp_path / "out"))
    assert [answer["text"] for answer in answers] == texts
    lines = (tmp_path / "out" / "predictions.tsv").read_text("utf-8").splitlines()
    assert [line.split("\t")[0] for line in lines] == ["text", "word1 word2 word3", "word4"]
    assert {line.count("\t") for line in lines} == {3}


def test_odd_text_gets_a_prediction(folders):
    for text in ("\U0001f600", "東京", "word1 " * 5000, "\x01"):
        (answer,) = _asked(folders, text=text)
        assert 1 / 3 <= answer["score"] <= 1


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("pair", {"text": "a"}, "--second_text: task custom needs a second text"),
        ("classification", {"text": "a", "second_text": "b"}, "task custom takes no second text"),
        ("classification", {"input_file": "absent.tsv"}, "absent.tsv: no such file"),
        ("regression", {"input_file": "answers.doc"}, "the extension does not name a known format"),
    ],
)
def test_texts_that_do_not_fit_the_task_are_refused(folders, kind, options, message):
    with pytest.raises(UserError, match=message):
        _asked(folders, kind, **options)


@pytest.mark.parametrize(
    ("kind", "of", "message"),
    [
        ("pair", "classification", "takes pairs, but the text columns are"),
        ("classification", "pair", "takes single texts, but the text columns are"),
    ],
)
def test_a_file_of_another_kind_than_the_task_is_refused(folders, files, kind, of, message):
    with pytest.raises(UserError, match=message):
        _asked(folders, kind, input_file=files[of])


def test_question_answering_models_are_refused(tmp_path):
    network = small_task_model("span")
    model = TextModel(network, Tokenizer(VOCABULARY), Span("squad"), MAX_POSITIONS)
    model.save(tmp_path / "model")
    with pytest.raises(UserError, match="`predict` does not support a span task"):
        predict(PredictOptions(model=str(tmp_path / "model"), text="a", second_text="b"))
    with pytest.raises(UserError, match="task squad is a span, which has no label per text"):
        TaskData(TaskOptions(test_file="x.csv"), model.task)
    with pytest.raises(UserError, match="a span task cannot be exported as a Hugging Face folder"):
        export_huggingface(model, tmp_path / "hub")


def test_a_supernet_is_refused(tmp_path):
    small_supernet(layers=1).save(tmp_path / "supernet")
    with pytest.raises(UserError, match="supernet has no task head, so it cannot predict"):
        predict(PredictOptions(model=str(tmp_path / "supernet"), text="word1"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": "a"}, "--model is missing"),
        ({"model": "m"}, "give either a non-empty --text or --input_file"),
        ({"model": "m", "text": "  "}, "give either a non-empty --text or --input_file"),
        (
            {"model": "m", "text": "a", "input_file": "b.tsv"},
            "give either a non-empty --text or --input_file",
        ),
        ({"model": "m", "second_text": "a", "input_file": "b"}, "--second_text goes with --text"),
    ],
)
def test_invalid_options_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        PredictOptions(**given)
