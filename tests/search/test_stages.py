import dataclasses
import json

import pytest

from tf_efficientbert.errors import UserError
from tf_efficientbert.search.options import SearchOptions
from tf_efficientbert.search.stages import RECIPES, read_stages

_CANDIDATE = {
    "text_share": 0.02,
    "text_epochs": 1,
    "text_learning_rate": 1e-4,
    "task_share": 0.1,
    "task_epochs": 3,
    "task_learning_rate": 4e-4,
    "batch_size": 64,
}
_SUPERNET = {**_CANDIDATE, "text_share": 1, "text_epochs": 10, "task_share": 1, "task_epochs": 10}
_SEARCHED = (("stack", "ratio", "formula"), ("formula",), ("stack", "ratio"))


@pytest.mark.parametrize(
    ("number", "held_out", "training"),
    [(1, 0.01, _CANDIDATE), (2, 0.01, _CANDIDATE), (3, 0.1, _SUPERNET)],
)
def test_the_paper_s_stages_have_the_paper_s_training(number, held_out, training):
    stage = RECIPES["paper"][number - 1]
    assert dataclasses.asdict(stage.training) == training
    assert stage.held_out == held_out


def test_the_paper_s_action_space_is_fitted_after_80_candidates_and_then_every_10():
    for stage in RECIPES["paper"]:
        assert (stage.random_candidates, stage.refit_every) == (80, 10)
        assert (stage.tuning_rounds, stage.max_draws) == (10, 20_000)


@pytest.mark.parametrize("name", RECIPES)
def test_only_the_last_of_the_three_stages_shares_weights(name):
    stages = read_stages(name)
    assert tuple(stage.searched for stage in stages) == _SEARCHED
    assert [stage.shares_weights for stage in stages] == [False, False, True]


def test_the_quick_stages_have_fewer_candidates_but_still_fit_the_action_space():
    (group,) = (f.default for f in dataclasses.fields(SearchOptions) if f.name == "group_size")
    for quick, paper in zip(RECIPES["quick"], RECIPES["paper"], strict=True):
        assert quick.candidates < paper.candidates
        told_before_the_last_group = (quick.candidates - 1) // group * group
        assert told_before_the_last_group >= quick.random_candidates


# === Stages from a file ===


def _described(recipe="paper"):
    stages = json.loads(json.dumps([dataclasses.asdict(stage) for stage in RECIPES[recipe]]))
    for stage in stages:
        del stage["searched"]  # derived from the order
    return stages


@pytest.fixture
def written(tmp_path):
    """written(stages): writes a JSON file and returns its path."""

    def write(stages, text=None):
        path = tmp_path / "stages.json"
        path.write_text(json.dumps(stages) if text is None else text, "utf-8")
        return str(path)

    return write


@pytest.mark.parametrize("name", RECIPES)
def test_stages_are_read_from_a_file(written, name):
    assert read_stages(written(_described(name))) == RECIPES[name]


def test_integers_are_accepted_for_floats(written):
    stages = _described()
    stages[0]["exploration"] = 0
    stages[2]["training"] |= {"text_share": 1, "task_epochs": 7}
    first, _, last = read_stages(written(stages))
    figures = (first.exploration, last.training.text_share, last.training.task_epochs)
    assert figures == (0.0, 1.0, 7.0)
    assert all(type(figure) is float for figure in figures)


_NAN, _INFINITY = float("nan"), float("inf")
_BAD_VALUES = [
    ("name", 5),
    ("name", None),
    ("name", ""),
    ("name", "../up"),
    ("searched", ["stack"]),
    ("candidates", 0),
    ("candidates", 12.0),
    ("candidates", True),
    ("candidates", "12"),
    ("random_candidates", 1),
    ("refit_every", 0),
    ("exploration", -0.1),
    ("exploration", _NAN),
    ("exploration", _INFINITY),
    ("tuning_rounds", -1),
    ("max_draws", 0),
    ("min_parameters", -1),
    ("max_parameters", 1.5),
    ("held_out", 0.0),
    ("held_out", 1),
    ("held_out", _NAN),
    ("training", 3),
    ("training", None),
    ("training.text_share", -0.1),
    ("training.text_share", 1.1),
    ("training.text_share", _NAN),
    ("training.text_epochs", -1.0),
    ("training.text_epochs", _NAN),
    ("training.text_learning_rate", 0.0),
    ("training.text_learning_rate", _INFINITY),
    ("training.task_share", 0.0),
    ("training.task_share", 2.0),
    ("training.task_share", _NAN),
    ("training.task_epochs", 0.0),
    ("training.task_epochs", _NAN),
    ("training.task_learning_rate", -1e-4),
    ("training.task_learning_rate", "fast"),
    ("training.batch_size", 0),
    ("training.batch_size", 8.5),
]


def _assert_rejected(path, *parts):
    with pytest.raises(UserError) as caught:
        read_stages(path)
    message = str(caught.value)
    assert path in message
    assert "\n" not in message
    for part in parts:
        assert part in message


def _with(number, key, value):
    stages = _described()
    where = stages[number - 1]
    *outer, name = key.split(".")
    for part in outer:
        where = where[part]
    where[name] = value
    return stages


@pytest.mark.parametrize(("key", "value"), _BAD_VALUES, ids=lambda given: str(given))
def test_an_invalid_value_is_reported_with_file_stage_and_key(written, key, value):
    _assert_rejected(written(_with(2, key, value)), "stage 2", key.rpartition(".")[2])


@pytest.mark.parametrize("key", ["epochs", "training.epochs"])
def test_an_unknown_key_is_reported(written, key):
    _assert_rejected(written(_with(3, key, 1)), "stage 3", "unknown keys epochs")


@pytest.mark.parametrize(
    "key", ["name", "candidates", "held_out", "training", "training.text_share"]
)
def test_a_missing_key_is_reported(written, key):
    stages = _described()
    *outer, name = key.split(".")
    del (stages[0]["training"] if outer else stages[0])[name]
    _assert_rejected(written(stages), "stage 1", name.partition("_")[0])


def test_a_stage_may_set_bounds_unless_it_searches_only_formulas(written):
    first, _, last = read_stages(written(_with(3, "max_parameters", 7)))
    assert (first.max_parameters, last.max_parameters) == (0, 7)
    _assert_rejected(written(_with(2, "max_parameters", 7)), "stage 2", "only formulas")


def test_stage_names_must_differ(written):
    _assert_rejected(written(_with(3, "name", "joint")), "two stages have the same name")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("{}", "expected a list of 3"),
        ("[]", "expected a list of 3"),
        ("[1, 2, 3]", "stage 1"),
    ],
)
def test_a_file_without_three_stages_is_rejected(written, content, message):
    _assert_rejected(written(None, content), message)


def test_a_missing_file_is_reported(tmp_path):
    _assert_rejected(str(tmp_path / "nowhere.json"), "no such file")


def test_the_error_for_an_unknown_recipe_lists_the_known_ones():
    with pytest.raises(UserError, match="--stages=fast: expected paper, quick or a .json file"):
        read_stages("fast")
