import json
import shutil

import numpy as np
import pytest

from tests.models.small_models import (
    MAX_POSITIONS,
    random_inputs,
    small_task_model,
    weight_values,
)
from tests.models.small_text_models import (
    LABELS,
    TASKS,
    VOCABULARY,
    small_examples,
    small_supernet,
    small_text_model,
)
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.glue import TASKS as GLUE_TASKS
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.text_model import TextModel, load


@pytest.fixture(scope="module")
def model():
    return small_text_model()


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    model.save(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of a saved model, for tests that change it."""
    return shutil.copytree(saved, tmp_path / "model")


def _logits(model, examples):
    return model.logits(model.encode(examples))


@pytest.mark.parametrize("kind", TASKS)
def test_a_saved_model_gives_the_same_outputs(tmp_path, kind):
    model = small_text_model(kind)
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    examples = small_examples(model.task)
    np.testing.assert_allclose(
        _logits(loaded, examples), _logits(model, examples), rtol=1e-6, atol=1e-6
    )
    assert (loaded.task, loaded.max_tokens) == (model.task, model.max_tokens)
    assert loaded.tokenizer.vocabulary == VOCABULARY
    assert loaded.backbone.architecture == model.backbone.architecture


def test_a_supernet_is_saved_and_loaded_without_a_task(tmp_path):
    model = small_supernet(layers=2, fit_size=10)
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.task is None and loaded.labels == ()
    assert loaded.backbone.fit_size == 10
    ours, theirs = (m.model(random_inputs())["hidden_states"][-1] for m in (loaded, model))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match="no task head"):
        loaded.predict(["word1"])


def test_a_bfloat16_model_is_saved_in_float32(tmp_path):
    model = small_text_model(dtype="mixed_bfloat16")
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.model(random_inputs())["sequence_output"].dtype == "float32"
    values, expected = (list(weight_values(m.model).values()) for m in (loaded, model))
    for ours, theirs in zip(values, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    examples = small_examples(model.task)
    coarse, fine = _logits(model, examples), _logits(loaded, examples)
    assert 0 < np.abs(coarse - fine).max() < 0.1
    exact = _logits(small_text_model(), examples)  # of the same weights
    np.testing.assert_allclose(fine, exact, rtol=1e-6, atol=1e-6)


def test_saving_replaces_an_earlier_model(folder):
    other = small_text_model("regression", seed=5)
    other.save(folder)
    examples = small_examples(other.task)
    np.testing.assert_allclose(_logits(load(folder), examples), _logits(other, examples), rtol=1e-6)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_the_earlier_model_stays_if_saving_fails(folder, model, monkeypatch):
    def fail(self, folder):
        raise RuntimeError("in the middle")

    monkeypatch.setattr(Tokenizer, "save", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        small_text_model("regression").save(folder)
    assert load(folder).task == model.task
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("name", ["model.keras", "text_model.json", "vocab.txt"])
def test_a_missing_file_is_named_with_its_folder(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"{folder} holds no saved model: there is no {name}"):
        load(folder)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="absent holds no saved model: there is no such folder"):
        load(tmp_path / "absent")


def test_the_error_for_a_job_s_folder_names_the_model_in_it(folder):
    with pytest.raises(UserError, match=f"{folder.parent} holds no .*; {folder} does"):
        load(folder.parent)


_DAMAGES = {
    "weights cut short": ("model.keras", lambda raw: raw[: len(raw) // 2]),
    "weights overwritten": (
        "model.keras",
        lambda raw: raw[: len(raw) // 2] + b"\xff" * 50 + raw[len(raw) // 2 + 50 :],
    ),
    "empty weights": ("model.keras", lambda raw: b""),
    "no JSON": ("text_model.json", lambda raw: raw[:-5]),
    "another JSON": ("text_model.json", lambda raw: b"[]"),
    "an empty object": ("text_model.json", lambda raw: b"{}"),
    "an unknown key": ("text_model.json", lambda raw: raw.replace(b"pair", b"pear")),
    "max_tokens is no number": ("text_model.json", lambda raw: raw.replace(b": 16", b': "x"')),
    "not UTF-8": ("text_model.json", lambda raw: b"\xff" + raw),
    "vocabulary cut short": ("vocab.txt", lambda raw: raw[:60]),
    "vocabulary of bytes": ("vocab.txt", lambda raw: b"\xff\xfe" + raw),
}


@pytest.mark.parametrize(("name", "damage"), _DAMAGES.values(), ids=_DAMAGES)
def test_a_damaged_file_is_a_user_error_that_names_the_folder(folder, name, damage):
    path = folder / name
    before = path.read_bytes()
    path.write_bytes(damage(before))
    assert path.read_bytes() != before
    with pytest.raises(UserError, match=str(folder)):
        load(folder)


def test_a_vocabulary_of_another_size_is_refused():
    tokenizer = Tokenizer([*VOCABULARY, "more"])
    with pytest.raises(UserError, match="41 entries, but the model's token table 40 rows"):
        TextModel(small_task_model(), tokenizer, TASKS["classification"], MAX_POSITIONS)


def test_more_tokens_than_positions_are_refused():
    with pytest.raises(UserError, match="max_tokens is 17, but the model has 16 positions"):
        TextModel(small_task_model(), Tokenizer(VOCABULARY), TASKS["classification"], 17)


def test_a_prediction_is_the_most_probable_label_with_its_probability(model):
    examples = small_examples(model.task)
    logits = _logits(model, examples).astype(np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    predictions = model.predict(examples.texts)
    assert [p.label for p in predictions] == [LABELS[i] for i in logits.argmax(-1)]
    np.testing.assert_allclose([p.score for p in predictions], probabilities.max(-1), rtol=1e-5)
    assert len({p.label for p in predictions}) > 1


def test_a_regression_s_prediction_is_a_number_without_a_label():
    model = small_text_model("regression")
    examples = small_examples(model.task)
    predictions = model.predict(examples.texts)
    assert {p.label for p in predictions} == {""}
    np.testing.assert_allclose([p.score for p in predictions], _logits(model, examples), rtol=1e-6)


def test_logits_keep_the_order_of_examples_of_any_length(model):
    examples = small_examples(model.task, count=70)  # more than a batch
    alone = [_logits(model, Examples((text,), None, None))[0] for text in examples.texts[::7]]
    np.testing.assert_allclose(_logits(model, examples)[::7], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "texts", "message"),
    [
        ("classification", (["a"], ["b"]), "custom takes one text"),
        ("pair", (["a"],), "custom takes two texts"),
        ("pair", (["a", "b"], ["c"]), "2 texts but 1 second_texts"),
        ("classification", ("a text",), "expected lists of texts, got a single string"),
        ("pair", (["a"], "b"), "expected lists of texts"),
    ],
)
def test_texts_that_do_not_fit_the_task_are_refused(kind, texts, message):
    with pytest.raises(ValueError, match=message):
        small_text_model(kind).predict(*texts)


def test_no_texts_give_no_predictions(model):
    assert model.predict([]) == []
    assert small_text_model("pair").predict([], []) == []


def test_a_model_is_checked_for_its_task_and_text_length(folder, model):
    load(folder).require(model.task, MAX_POSITIONS, "it")
    with pytest.raises(
        UserError, match=r"trained for custom \(classification, single .*RTE \(.*pairs"
    ):
        load(folder).require(GLUE_TASKS["RTE"], MAX_POSITIONS, f"--model={folder}")
    with pytest.raises(UserError, match="cuts text at 16 tokens: give --max_tokens=16, not 12"):
        load(folder).require(model.task, 12, f"--model={folder}")


def test_task_errors_name_labels_and_kind():
    regression, supernet = small_text_model("regression"), small_supernet(layers=1)
    with pytest.raises(UserError, match=r"\(regression, .*\), the data is .*'so so', '.*😀'"):
        regression.require_task(TASKS["pair"], "--model=x")
    with pytest.raises(UserError, match="--model=x was trained for no task"):
        supernet.require_task(TASKS["pair"], "--model=x")


def test_the_saved_description_is_readable(saved):
    description = json.loads((saved / "text_model.json").read_text("utf-8"))
    assert description["max_tokens"] == MAX_POSITIONS
    assert description["task"]["labels"] == list(LABELS)
