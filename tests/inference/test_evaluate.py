import json
import shutil

import numpy as np
import pytest

from tests.models.small_models import MAX_POSITIONS
from tests.models.small_text_models import LABELS, TASKS, small_supernet, write_lines
from tf_efficientbert.errors import UserError
from tf_efficientbert.inference import EvaluateOptions, evaluate
from tf_efficientbert.metrics import glue


@pytest.fixture
def options(folders, files, tmp_path):
    """Makes options that score a model on its own examples."""

    def options(kind="classification", **changes) -> EvaluateOptions:
        given = {
            "task": "custom",
            "task_kind": TASKS[kind].kind,
            "train_file": files[kind],
            "dev_file": files[kind],
            "split": "90/10/0",
            "max_tokens": MAX_POSITIONS,
            "model": folders[kind],
            "output_dir": str(tmp_path / "scores"),
        }
        return EvaluateOptions(**{**given, **changes})

    return options


@pytest.mark.parametrize("kind", TASKS)
def test_scores_are_those_of_the_model_s_predictions(options, models, examples, kind):
    model, known = models[kind], examples[kind]
    scores = evaluate(options(kind))
    answers = model.predict(known.texts, known.second_texts)
    if kind == "regression":
        expected = glue.compute("regression", [answer.score for answer in answers], known.labels)
    elif kind == "multilabel":
        answered = np.array([model.task.target(a.label) for a in answers], bool)
        hits, totals = answered * known.labels, answered + known.labels
        expected = {
            "micro_f1": 2 * hits.sum() / totals.sum(),
            "macro_f1": np.mean(2 * hits.sum(axis=0) / totals.sum(axis=0)),
        }
        assert 0 < expected["micro_f1"] < 1
    else:
        right = np.mean([LABELS.index(a.label) for a in answers] == known.labels)
        error = np.sqrt(right * (1 - right) / 30)
        answered = np.array([LABELS.index(answer.label) for answer in answers])
        f1 = [
            2
            * ((answered == i) & (known.labels == i)).sum()
            / ((answered == i).sum() + (known.labels == i).sum())
            for i in range(len(LABELS))
        ]
        expected = {
            "accuracy": right,
            "accuracy_standard_error": error,
            "macro_f1": np.mean(f1),
        }
        assert 0 < right < 1
    assert scores.pop("seconds") > 0
    assert [row["label"] for row in scores.pop("classes", ())] == list(model.labels)
    assert scores == pytest.approx({**expected, "examples": 30})


def test_a_finished_run_returns_the_same_scores(options, tmp_path):
    first = evaluate(options())
    assert json.loads((tmp_path / "scores" / "result.json").read_text("utf-8")) == first
    assert evaluate(options()) == first


def test_split_and_limit_are_used(options):
    result = evaluate(options(score_split="train", limit=7))
    assert result["examples"] == 7


def test_score_split_test_scores_the_test_file(options, files, tmp_path):
    with open(files["classification"], encoding="utf-8") as file:
        lines = file.read().splitlines()[:6]
    path = tmp_path / "test.tsv"
    path.write_text("\n".join(lines), "utf-8")
    assert evaluate(options(score_split="test", test_file=str(path)))["examples"] == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_tokens": 15}, "cuts text at 16 tokens: give --max_tokens=16, not 15"),
        ({"score_split": "test"}, "there is no test split; give --test_file"),
        ({"model": "absent"}, "absent holds no saved model"),
        ({"output_dir": ""}, "--output_dir is missing"),
    ],
)
def test_data_that_does_not_match_the_model_is_refused(options, changes, message):
    with pytest.raises(UserError, match=message):
        evaluate(options(**changes))


def test_a_model_of_other_labels_is_not_scored(options, tmp_path):
    labels = write_lines(tmp_path / "labels.txt", LABELS[::-1])
    with pytest.raises(UserError, match=r"--model=.* was trained for custom \(classification, s"):
        evaluate(options(labels_file=labels))


def test_a_model_of_pairs_is_not_scored_on_single_sentences(options, folders):
    message = r"trained for custom \(classification, pairs, .* the data is custom \(.*single texts"
    with pytest.raises(UserError, match=message):
        evaluate(options(model=folders["pair"]))


def test_a_supernet_is_not_scored(options, tmp_path):
    small_supernet(layers=1).save(tmp_path / "supernet")
    with pytest.raises(UserError, match="supernet was trained for no task"):
        evaluate(options(model=str(tmp_path / "supernet")))


def test_a_split_without_labels_is_refused(options, folders, tmp_path):
    (tmp_path / "RTE").mkdir()
    row = "0\tword1 word2\tword3"
    for split in ("train", "dev"):
        text = f"index\tsentence1\tsentence2\tlabel\n{row}\tentailment\n"
        (tmp_path / "RTE" / f"{split}.tsv").write_text(text, "utf-8")
    (tmp_path / "RTE" / "test.tsv").write_text(f"index\tsentence1\tsentence2\n{row}\n", "utf-8")
    description = tmp_path / "model" / "text_model.json"
    _copy_as_rte(folders["pair"], description)
    files = dict.fromkeys(("train_file", "dev_file", "task_kind"), "")
    given = {
        **files,
        "split": "80/10/10",
        "task": "RTE",
        "data_dir": str(tmp_path),
        "model": str(tmp_path / "model"),
    }
    with pytest.raises(UserError, match="--score_split=test of RTE has no labels"):
        evaluate(options(**given, score_split="test"))


def _copy_as_rte(folder, description):
    """The same model with the task RTE; its three outputs for two labels do not matter here."""

    shutil.copytree(folder, description.parent)
    given = json.loads(description.read_text("utf-8"))
    given["task"].update(name="RTE", labels=["entailment", "not_entailment"])
    description.write_text(json.dumps(given), "utf-8")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "--model is missing"),
        ({"model": "m", "task": "mood"}, "'mood' is not a GLUE task"),
    ],
)
def test_invalid_options_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        EvaluateOptions(**given)
