import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.models.small_models import (
    random_inputs,
    small_architecture,
    small_backbone,
    small_task_model,
)
from tests.models.small_text_models import TASKS
from tf_efficientbert.distillation.losses import (
    attention_loss,
    contrastive_loss,
    cosine_loss,
    hidden_loss,
    prediction_loss,
    relation_loss,
)
from tf_efficientbert.distillation.objective import Objective
from tf_efficientbert.distillation.outputs import named_outputs
from tf_efficientbert.distillation.recipe_options import RecipeOptions, TextRecipeOptions
from tf_efficientbert.distillation.recipes import RECIPES, Recipe
from tf_efficientbert.distillation.terms import hidden_term
from tf_efficientbert.distillation.warm_up import WarmUpOptions
from tf_efficientbert.errors import UserError
from tf_efficientbert.tasks import Span

_TEACHER = small_architecture(hidden_size=20, num_heads=5, embedding="bert")
_STUDENT = small_architecture()  # three layers of width 24, four heads
_TASK = TASKS["classification"]


@pytest.fixture(scope="module")
def models():
    """Three layers each, without dropout; widths and numbers of heads differ."""
    teacher = small_task_model("classification", _TEACHER, 1)
    return teacher, small_task_model("classification", fit_size=20).rebuilt(dropout=0.0)


def _outputs(models):
    return [model(random_inputs()) for model in models]


@pytest.mark.parametrize(
    ("recipe", "terms", "reads"),
    [
        ("paper", ["hidden", "prediction"], {f"hidden_states/{i}" for i in range(4)} | {"logits"}),
        ("hidden", ["hidden", "prediction"], {f"hidden_states/{i}" for i in range(4)} | {"logits"}),
        ("relations", ["relations", "prediction"], {"queries/2", "keys/2", "values/2", "logits"}),
        ("logits", ["prediction"], {"logits"}),
    ],
)
def test_a_recipe_reads_only_what_its_terms_compare(recipe, terms, reads):
    changes = {"relation_heads": 4} if recipe == "relations" else {}
    objective = dataclasses.replace(RECIPES[recipe], **changes).objective(_TEACHER, _STUDENT, _TASK)
    assert [term.name for term in objective.terms] == terms
    assert set(objective.teacher_reads) == reads


def test_only_the_paper_s_recipe_reads_padding():
    equal_heads = dataclasses.replace(_TEACHER, num_heads=4)
    for name, recipe in RECIPES.items():
        objective = recipe.objective(equal_heads, _STUDENT, _TASK)
        assert objective.ignores_padding == (name != "paper")
        assert (name == "paper") == ("attention_scores/0" in objective.teacher_reads)


@pytest.mark.parametrize("layer", [0, 2])
def test_relations_are_those_of_one_teacher_layer_and_the_last_student_layer(models, layer):
    recipe = Recipe(hidden_ratio=0.0, relation_ratio=0.5, relation_layer=layer, relation_heads=2)
    objective = recipe.objective(_TEACHER, _STUDENT, task=None)
    loss = float(objective.losses(*models, random_inputs())["loss"])
    theirs, ours = _outputs(models)
    mask = random_inputs()["padding_mask"]
    expected = sum(
        float(relation_loss(theirs[kind][(layer or 3) - 1], ours[kind][2], 2, mask))
        for kind in ("queries", "keys", "values")
    )
    assert loss == pytest.approx(0.5 * expected, rel=1e-5)
    assert expected > 1e-4


@pytest.mark.parametrize(
    ("kind", "loss"), [("cosine", cosine_loss), ("contrastive", contrastive_loss)]
)
def test_pooled_vectors_are_means_over_real_tokens(models, kind, loss):
    recipe = Recipe(hidden_ratio=0.0, pooled_ratio=2.0, pooled_loss=kind)
    objective = recipe.objective(_TEACHER, _STUDENT, task=None)
    theirs, ours = _outputs(models)
    mask = random_inputs()["padding_mask"].astype(float)[..., None]
    pooled = [
        (np.asarray(each["hidden_states"][-1]) * mask).sum(axis=1) / mask.sum(axis=1)
        for each in (theirs, ours)
    ]
    for each, expected in zip((theirs, ours), pooled, strict=True):
        np.testing.assert_allclose(each["pooled"], expected, atol=1e-5)
    given = float(objective.losses(*models, random_inputs())["loss"])
    assert given == pytest.approx(2.0 * float(loss(*pooled)), rel=1e-4)


@pytest.mark.parametrize("recipe", ["relations", "logits"])
def test_padding_does_not_change_the_losses_of_other_recipes(models, recipe):
    changes = {"relation_heads": 4, "pooled_ratio": 1.0}
    objective = dataclasses.replace(RECIPES[recipe], **changes).objective(_TEACHER, _STUDENT, _TASK)
    short, long = (
        {k: float(v) for k, v in objective.losses(*models, random_inputs(tokens=n)).items()}
        for n in (None, 16)
    )
    assert long == pytest.approx(short, rel=1e-4)


def test_every_term_teaches_the_student(models):
    teacher, student = models
    recipe = Recipe(relation_ratio=1.0, relation_heads=4, pooled_ratio=1.0)
    objective = recipe.objective(_TEACHER, _STUDENT, _TASK)
    assert len(objective.terms) == 4
    for term in objective.terms:
        with tf.GradientTape() as tape:
            loss = objective.losses(teacher, student, random_inputs())[term.name]
        gradient = tape.gradient(loss, student.backbone.attentions[0].query.kernel.value)
        assert np.abs(gradient).max() > 0


def test_predictions_alone_leave_only_the_prediction():
    objective = Recipe().objective(None, _STUDENT, _TASK)
    assert [term.name for term in objective.terms] == ["prediction"]


def test_terms_without_their_teacher_outputs_get_a_scale_of_0():
    objective = RECIPES["hidden"].objective(_TEACHER, _STUDENT, _TASK)
    states = [f"hidden_states/{i}" for i in range(4)]
    assert objective.scales([*states, "logits"]) == (1.0, 1.0)
    assert objective.scales(states) == (1.0, 0.0)
    assert objective.scales([*states[1:], "logits"]) == (0.0, 1.0)
    of_a_regression = RECIPES["hidden"].objective(_TEACHER, _STUDENT, TASKS["regression"])
    assert of_a_regression.scales(()) == (0.0, 1.0)  # it learns from labels


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_on_raw_text_only_terms_of_the_encoder_apply(kind):
    objective = RECIPES["hidden"].objective(_TEACHER, _STUDENT, TASKS[kind])
    assert set(objective.encoder_reads) == {f"hidden_states/{i}" for i in range(4)}
    assert objective.scales(objective.encoder_reads, on_text=True) == (1.0, 0.0)


def test_two_terms_of_one_name_are_refused():
    term = hidden_term(1.0, (0, 1, 2))
    with pytest.raises(ValueError, match="two terms have one name"):
        Objective((term, term))


@pytest.mark.parametrize("scales", [None, (1.0, 1.0, 0.0)])
def test_the_paper_s_loss_and_its_gradients_are_those_of_the_written_out_sum(models, scales):
    """To the bit: recorded runs must not change."""
    teacher, student = models[0], small_task_model("classification", fit_size=20)
    equal_heads = dataclasses.replace(_TEACHER, num_heads=4)
    teacher, student = (
        small_task_model("classification", equal_heads, 1),
        student.rebuilt(dropout=0),
    )
    recipe = Recipe(hidden_ratio=3.0, attention_ratio=0.7, prediction_ratio=0.3)
    objective = recipe.objective(equal_heads, _STUDENT, _TASK)
    hidden_scale, _, prediction_scale = scales or (1.0, 1.0, 1.0)
    kernel = student.backbone.attentions[0].query.kernel.value

    def written_out(inputs):
        theirs, ours = teacher(inputs), student(inputs)
        total = 3.0 * hidden_loss(theirs["hidden_states"], ours["hidden_states"])
        scores = theirs["attention_scores"], ours["attention_scores"]
        total = hidden_scale * (total + 3.0 * 0.7 * attention_loss(*scores))
        prediction = prediction_scale * prediction_loss(theirs["logits"], ours["logits"])
        return total + 0.3 * prediction

    def of_terms(inputs):
        theirs = named_outputs(teacher(inputs), objective.teacher_reads)
        return objective.compare(theirs, student(inputs), inputs, scales)["loss"]

    def with_gradient(loss_fn):
        @tf.function(autograph=False)
        def compute(inputs):
            with tf.GradientTape() as tape:
                loss = loss_fn(inputs)
            return loss, tape.gradient(loss, kernel)

        return compute({name: tf.constant(array) for name, array in random_inputs().items()})

    for ours, theirs in zip(with_gradient(of_terms), with_gradient(written_out), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (RECIPES["logits"], "no loss is left on raw text, which has no predictions: set --recipe"),
        (
            Recipe(layer_map="skip"),
            "skip leaves the last layer to predictions, but raw text has none",
        ),
    ],
)
def test_a_recipe_that_teaches_nothing_on_raw_text_is_an_error_there(recipe, message):
    with pytest.raises(UserError, match=message):
        recipe.require_text_losses("--recipe")
    for name in ("paper", "hidden", "relations"):
        RECIPES[name].require_text_losses("--recipe")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"relation_layer": 4}, "--relation_layer=4: the teacher has 3 layers"),
        ({}, "5 relation heads, as many as the teacher's .* student's width of 24; set --relation"),
        ({"relation_heads": 5}, "5 relation heads do not divide the student's width of 24"),
        ({"relation_heads": 3}, "3 relation heads do not divide the teacher's width of 20"),
    ],
)
def test_relations_that_do_not_fit_the_networks_are_an_error(changes, message):
    recipe = Recipe(relation_ratio=1.0, **changes)
    with pytest.raises(UserError, match=message):
        recipe.objective(_TEACHER, _STUDENT, _TASK)


def test_a_layer_map_that_does_not_fit_the_networks_is_an_error():
    shallow = dataclasses.replace(_TEACHER, cells=_TEACHER.cells[:2])
    with pytest.raises(UserError, match="--layer_map=last: .* it has 2, the student 3"):
        Recipe(layer_map="last").objective(shallow, _STUDENT, _TASK)


# === Flags ===


def test_flags_override_the_recipe():
    assert RecipeOptions().resolved_recipe == Recipe()
    assert RecipeOptions(recipe="hidden").resolved_recipe == RECIPES["hidden"]
    given = {"attention_ratio": 0.5, "sum_over_classes": False, "layer_map": "last"}
    expected = dataclasses.replace(RECIPES["hidden"], **given)
    assert RecipeOptions(recipe="hidden", **given).resolved_recipe == expected
    assert TextRecipeOptions(hidden_ratio=0.0).resolved_recipe == Recipe(hidden_ratio=0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "papers"}, "--recipe=papers: expected one of paper, hidden, relations, logits"),
        ({"layer_map": "first"}, "--layer_map=first: expected one of uniform, last, skip"),
        ({"pooled_loss": "mse"}, "--pooled_loss=mse: expected one of cosine, contrastive"),
        ({"relation_ratio": -1.0}, "--relation_ratio=-1.0: expected 0 or more"),
        ({"prediction_ratio": float("inf")}, "--prediction_ratio=inf: expected 0 or more"),
        ({"relation_heads": -1}, "--relation_heads=-1: expected 0 or more"),
        ({"temperature": 0.0}, "--temperature=0.0: expected a number above 0"),
        ({"recipe": "logits", "prediction_ratio": 0.0}, "all 0: nothing to learn"),
        ({"relation_heads": 4}, "--relation_heads=4 has no effect: relation_ratio is 0"),
        ({"pooled_loss": "cosine"}, "--pooled_loss=cosine has no effect: pooled_ratio is 0"),
        ({"recipe": "logits", "layer_map": "last"}, "--layer_map=last has no effect: hidden_ratio"),
        ({"prediction_ratio": 0.0, "temperature": 2.0}, "--temperature=2.0 has no effect"),
    ],
)
def test_an_invalid_flag_is_an_error(options, message):
    with pytest.raises(UserError, match=message):
        RecipeOptions(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "papers"}, "--recipe=papers: expected one of"),
        ({"hidden_ratio": -1.0}, "--hidden_ratio=-1.0: expected 0 or more"),
        ({"recipe": "logits"}, "no loss is left on raw text"),
        ({"hidden_ratio": 0.0}, "no loss is left on raw text"),
        ({"layer_map": "skip"}, "--layer_map=skip leaves the last layer"),
    ],
)
def test_an_invalid_flag_of_the_warm_up_is_an_error(options, message):
    with pytest.raises(UserError, match=message):
        WarmUpOptions(**options)


@pytest.mark.parametrize("flag", [{"temperature": 2.0}, {"sum_over_classes": True}])
def test_flags_of_the_prediction_loss_are_refused_where_it_reads_labels(flag):
    options = RecipeOptions(**flag)
    for task in (_TASK, TASKS["multilabel"], Span("squad")):
        options.require_fit(task)
    with pytest.raises(
        UserError, match="has no effect on task .* a regression learn from the labels"
    ):
        options.require_fit(TASKS["regression"])
    RecipeOptions(recipe="hidden").require_fit(TASKS["regression"])


def test_span_losses_follow_temperature_and_sum_over_classes():
    models = small_task_model("span", _TEACHER, 1), small_task_model("span", fit_size=20)
    models = models[0], models[1].rebuilt(dropout=0.0)

    def loss(**recipe):
        objective = Recipe(hidden_ratio=0.0, **recipe).objective(_TEACHER, _STUDENT, Span("squad"))
        return float(objective.losses(*models, random_inputs())["loss"])

    tokens = random_inputs()["token_ids"].shape[1]
    assert loss(sum_over_classes=True) == pytest.approx(tokens * loss(), rel=1e-5)
    assert abs(loss(temperature=3.0) - loss()) > 1e-3


def test_a_backbone_alone_learns_from_a_backbone():
    teacher, student = small_backbone(_TEACHER, 1), small_backbone(fit_size=20)
    recipe = Recipe(relation_ratio=1.0, relation_heads=4)
    losses = recipe.objective(_TEACHER, _STUDENT, None).losses(teacher, student, random_inputs())
    assert losses.keys() == {"loss", "hidden", "relations"}
