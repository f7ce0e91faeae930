import json

import pytest

from tests.shared_data import SHARED_DATA, needs_shared_data
from tf_efficientbert.errors import UserError
from tf_efficientbert.metrics.squad import compute, normalize_answer


def _dataset(**references: list[str]) -> dict:
    """A set of one paragraph; keyword = question id, value = its reference answers."""
    questions = [
        {
            "id": name,
            "question": "?",
            "answers": [{"text": text, "answer_start": 0} for text in texts],
        }
        for name, texts in references.items()
    ]
    return {"data": [{"title": "t", "paragraphs": [{"context": "c", "qas": questions}]}]}


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("The  Eiffel-Tower!", "eiffeltower"),
        ("an apple a day", "apple day"),
        ("anthem theatre", "anthem theatre"),
        ("U.S.A.", "usa"),
        ("  a\tb\nc\u00a0d ", "b c d"),
        ("–é", "–é"),
        ("the", ""),
    ],
)
def test_answers_are_compared_without_case_punctuation_articles_and_spacing(text, normalized):
    assert normalize_answer(text) == normalized


# reference answers, prediction, exact match, F1 in per cent
_CASES = {
    "same": (["Denver Broncos"], "the denver broncos.", 100.0, 100.0),
    # 1 of 2 words is right, 1 of 3 is found: precision 1/2, recall 1/3
    "part": (["in New York"], "New Jersey", 0.0, 40.0),
    "best of the references": (["1973", "October 1973"], "in October 1973", 0.0, 80.0),
    "a later reference": (["x", "y"], "y", 100.0, 100.0),
    # the word is counted once, as often as it is in the reference
    "repeated word": (["very good"], "very very very", 0.0, 40.0),
    "nothing in common": (["Paris"], "London", 0.0, 0.0),
    "empty": (["Paris"], "", 0.0, 0.0),
}


@pytest.mark.parametrize("version", ["1.1", "2.0"])
@pytest.mark.parametrize(
    ("references", "prediction", "exact_match", "f1"), _CASES.values(), ids=_CASES.keys()
)
def test_an_answer_is_scored_against_its_best_reference(
    version, references, prediction, exact_match, f1
):
    scores = compute(_dataset(q=references), {"q": prediction}, version)
    assert scores == pytest.approx({"exact_match": exact_match, "f1": f1})


@pytest.mark.parametrize(("prediction", "score"), [("", 100.0), ("The.", 100.0), ("Paris", 0.0)])
def test_an_unanswerable_question_is_right_with_the_empty_answer_alone(prediction, score):
    scores = compute(_dataset(q=[]), {"q": prediction}, "2.0")
    assert scores == {"exact_match": score, "f1": score}


def test_a_reference_that_normalizes_to_nothing_matches_the_empty_answer():
    dataset = _dataset(q=["Paris", "."])
    # Version 1.1 has no F1 between texts without words.
    assert compute(dataset, {"q": ""}, "1.1") == {"exact_match": 100.0, "f1": 0.0}
    assert compute(dataset, {"q": ""}, "2.0") == {"exact_match": 100.0, "f1": 100.0}


@pytest.mark.parametrize("version", ["1.1", "2.0"])
def test_questions_without_prediction_count_as_wrong_and_other_predictions_do_not_count(version):
    dataset = _dataset(first=["Paris"], second=["London"])
    scores = compute(dataset, {"first": "Paris", "of another set": "Rome"}, version)
    assert scores == {"exact_match": 50.0, "f1": 50.0}


def test_a_missing_prediction_is_not_the_empty_answer():
    assert compute(_dataset(q=[]), {}, "2.0") == {"exact_match": 0.0, "f1": 0.0}


@pytest.mark.parametrize("as_path", [str, lambda path: path], ids=["str", "Path"])
def test_the_set_may_be_given_as_a_file(tmp_path, as_path):
    path = tmp_path / "dev.json"
    path.write_text(json.dumps(_dataset(q=["é"])), encoding="utf-8")
    assert compute(as_path(path), {"q": "É"}, "1.1") == {"exact_match": 100.0, "f1": 100.0}


@pytest.mark.parametrize("version", ["v1.1", 1.1])
def test_a_version_may_be_spelt_otherwise(version):
    assert compute(_dataset(q=["Paris"]), {"q": "Paris"}, version)["exact_match"] == 100


def test_an_unknown_version_is_refused():
    with pytest.raises(ValueError, match=r"version is '2', expected one of \['1.1', '2.0'\]"):
        compute(_dataset(q=["a"]), {}, "2")


def test_a_prediction_that_is_no_text_is_refused_by_its_question():
    with pytest.raises(ValueError, match="prediction for 'q' is None"):
        compute(_dataset(q=["a"]), {"q": None}, "2.0")


def test_a_question_without_answers_is_refused_in_version_1_1():
    with pytest.raises(UserError, match="question 'q' has no answer; .* version 2.0"):
        compute(_dataset(q=[]), {"q": ""}, "1.1")


@pytest.mark.parametrize(
    "dataset",
    [{}, [], {"data": [{}]}, {"data": 3}, _dataset(q=[None])],
    ids=["no data", "list", "no paragraphs", "number", "answer is null"],
)
def test_what_is_not_in_squads_structure_is_refused(dataset):
    with pytest.raises(UserError, match="dataset_json: not in SQuAD's JSON structure"):
        compute(dataset, {}, "2.0")


def test_a_set_without_questions_is_refused(tmp_path):
    path = tmp_path / "dev.json"
    path.write_text('{"data": []}')
    with pytest.raises(UserError, match=r"dev\.json: holds no questions"):
        compute(path, {}, "2.0")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="absent.json: no such file"):
        compute(tmp_path / "absent.json", {}, "1.1")


@needs_shared_data
@pytest.mark.parametrize(
    ("version", "predictions", "exact_match", "f1"),
    [
        ("1.1", "v1.1_bert_ensemble.json", 86.21, 92.20),
        ("1.1", "v1.1_logreg_baseline.json", 40.14, 50.98),
        ("2.0", "v2.0_bert_single.json", 78.76, 81.79),
    ],
)
def test_published_predictions_get_their_published_scores(version, predictions, exact_match, f1):
    folder = SHARED_DATA / "squad"
    answers = json.loads((folder / "predictions" / predictions).read_text(encoding="utf-8"))
    scores = compute(folder / f"dev-v{version}.json", answers, version)
    rounded = {name: round(value, 2) for name, value in scores.items()}
    assert rounded == {"exact_match": exact_match, "f1": f1}
