import numpy as np
import pytest

from tests.models import golden
from tests.models.small_models import weight_values
from tf_efficientbert.architecture import CellSpec
from tf_efficientbert.models.reference_weights import load_reference_weights

_SUPERNET = golden.read("supernet_mnli")
# A candidate for the supernet's weights: stacks 4, 2, 1 at ratios 1/2, 1, 1/2.
_CANDIDATE = golden.read("efficientbert_mnli_published_a")


def _backbone(**changes):
    return golden.backbone_for(_CANDIDATE, **changes)


def _with(**changes):
    """The supernet's state dict with entries replaced; None removes one."""
    changed = {**_SUPERNET.weights, **{name.replace("__", "."): v for name, v in changes.items()}}
    return {name: value for name, value in changed.items() if value is not None}


def test_a_candidate_takes_slices_of_the_supernet():
    backbone, given = _backbone(), _SUPERNET.weights
    load_reference_weights(backbone, given)
    for i, cell in enumerate(backbone.cells):
        width = cell.cell.inner_width(48)
        assert (len(cell.feed_forwards), width) == [(4, 24), (2, 48), (1, 24)][i]
        for j, ffn in enumerate(cell.feed_forwards):
            name = f"encoder.{i}.all_ffn.{j}"
            expected = [
                (ffn.kernel_1, given[f"{name}.dense1.weight"].T[:, :width]),
                (ffn.bias_1, given[f"{name}.dense1.bias"][:width]),
                (ffn.kernel_2, given[f"{name}.dense2.weight"].T[:width]),
                (ffn.bias_2, given[f"{name}.dense2.bias"]),
                (ffn.layer_norm.gamma, given[f"{name}.layernorm.weight"]),
                (ffn.layer_norm.beta, given[f"{name}.layernorm.bias"]),
            ]
            for variable, value in expected:
                np.testing.assert_array_equal(variable, value)


def test_all_weights_but_the_ffns_are_copied_unsliced():
    backbone, given = _backbone(), _SUPERNET.weights
    load_reference_weights(backbone, given)
    np.testing.assert_array_equal(
        backbone.embedding.token_table[1:], given["embeddings.token_embeddings.weight"][1:]
    )
    np.testing.assert_array_equal(
        backbone.embedding.layer_norm.beta, given["embeddings.layernorm.bias"]
    )
    np.testing.assert_array_equal(backbone.fit_projection.kernel, given["fit_dense.weight"].T)
    for i, attention in enumerate(backbone.attentions):
        value = given[f"encoder.{i}.attention.value.weight"]
        np.testing.assert_array_equal(attention.value.kernel, value.T)


def test_every_weight_of_a_task_model_is_set():
    model = golden.task_model_for(_CANDIDATE)
    before = weight_values(model)
    load_reference_weights(model, {n: v + 7.0 for n, v in _CANDIDATE.weights.items()})
    after = weight_values(model)
    table = next(path for path in before if path.endswith("token_table"))
    before[table], after[table] = before[table][1:], after[table][1:]  # [PAD] stays zero
    assert all(np.all(after[path] != before[path]) for path in before)


@pytest.mark.parametrize("keep", [False, True])
def test_the_padding_row_is_zero_unless_it_is_kept(keep):
    backbone, row = _backbone(), _SUPERNET.weights["embeddings.token_embeddings.weight"][0]
    load_reference_weights(backbone, _SUPERNET.weights, keep_padding_row=keep)
    assert np.any(row)  # the given weights are not changed
    np.testing.assert_array_equal(backbone.embedding.token_table[0], row if keep else 0 * row)


@pytest.mark.parametrize("keep", [False, True])
def test_padding_changes_answers_only_with_the_reference_s_padding_row(keep):
    model = golden.task_model_for(_CANDIDATE)
    load_reference_weights(model, _CANDIDATE.weights, keep_padding_row=keep)
    shortest = int(_CANDIDATE.inputs["padding_mask"].sum(axis=1).min())
    row = int(_CANDIDATE.inputs["padding_mask"].sum(axis=1).argmin())
    padded = {name: array[row : row + 1] for name, array in _CANDIDATE.inputs.items()}
    alone = {name: array[:, :shortest] for name, array in padded.items()}
    assert shortest < padded["token_ids"].shape[1]
    difference = np.abs(model(padded)["logits"] - model(alone)["logits"]).max()
    assert (difference > 1e-4) == keep
    assert keep or difference < 1e-5


def test_a_leading_module_is_dropped():
    plain, prefixed = _backbone(name="one"), _backbone(name="one")
    load_reference_weights(plain, _SUPERNET.weights)
    load_reference_weights(prefixed, {f"module.{n}": v for n, v in _SUPERNET.weights.items()})
    for ours, theirs in zip(prefixed.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_lists_and_double_precision_are_accepted():
    backbone = _backbone()
    given = _with(fit_dense__bias=_SUPERNET.weights["fit_dense.bias"].tolist())
    load_reference_weights(backbone, {n: np.asarray(v, float).tolist() for n, v in given.items()})
    expected = _SUPERNET.weights["fit_dense.bias"]
    np.testing.assert_array_equal(backbone.fit_projection.bias, expected)


@pytest.mark.parametrize("name", ["cls_pooler.dense.weight", "classifier.bias", "lm_head.bias"])
def test_a_backbone_ignores_heads_of_any_shape(name):
    load_reference_weights(_backbone(), {**_SUPERNET.weights, name: np.zeros((5, 3, 2))})


def test_a_task_model_ignores_only_the_language_model_head():
    model = golden.task_model_for(_CANDIDATE)
    load_reference_weights(model, _with(lm_head__dense__weight=np.zeros((5, 3))))
    with pytest.raises(ValueError, match="classifier.weight has shape"):
        load_reference_weights(model, _with(classifier__weight=np.zeros((5, 48))))
    with pytest.raises(ValueError, match="classifier.bias is missing"):
        load_reference_weights(model, _with(classifier__bias=None))


def test_the_fit_projection_is_ignored_only_by_a_model_without_one():
    load_reference_weights(_backbone(fit_size=None), _SUPERNET.weights)
    load_reference_weights(_backbone(fit_size=None), _with(fit_dense__bias=None))
    with pytest.raises(ValueError, match="fit_dense.bias is missing"):
        load_reference_weights(_backbone(), _with(fit_dense__bias=None))


@pytest.fixture(scope="module")
def untouched():
    """A backbone whose weights must never change, and these weights."""
    backbone = _backbone()
    return backbone, weight_values(backbone)


def _zeros(*shape):
    return np.zeros(shape, "float32")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"encoder__0__attention__keys__weight": _zeros(48, 48)}, "keys.weight is unknown"),
        ({"fit_dense__scale": _zeros(64)}, "fit_dense.scale is unknown"),
        ({"encoder__3__all_ffn__0__dense1__bias": _zeros(48)}, "encoder.3.all_ffn.0.dense1.bias"),
        ({"encoder__0__all_ffn__0__dense3__bias": _zeros(48)}, "dense3.bias is unknown"),
        ({"embeddings__layernorm__bias": None}, "embeddings.layernorm.bias is missing"),
        ({"encoder__1__all_ffn__1__dense2__bias": None}, "encoder.1.all_ffn.1.dense2.bias is miss"),
        ({"embeddings__dense__bias": _zeros(47)}, "embeddings.dense.bias has shape (47,)"),
        (
            {"encoder__2__attention__query__weight": _zeros(48, 50)},
            "query.weight has shape (48, 50)",
        ),
        ({"embeddings__token_embeddings__weight": _zeros(201, 16)}, "has shape (201, 16)"),
        # An FFN is sliced only along its inner axis, which must be large enough.
        ({"encoder__0__all_ffn__0__dense1__weight": _zeros(48, 50)}, "has shape (48, 50)"),
        ({"encoder__0__all_ffn__0__dense2__weight": _zeros(50, 48)}, "has shape (50, 48)"),
        ({"encoder__0__all_ffn__0__dense2__bias": _zeros(50)}, "dense2.bias has shape (50,)"),
        ({"encoder__0__all_ffn__0__dense1__weight": _zeros(23, 48)}, "has shape (23, 48)"),
        ({"encoder__0__all_ffn__0__layernorm__bias": _zeros(50)}, "layernorm.bias has shape (50,)"),
        ({"encoder__0__all_ffn__0__dense1__weight": _zeros(48)}, "has shape (48,)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mismatch_is_named_and_nothing_is_assigned(untouched, changes, problem):
    backbone, before = untouched
    with pytest.raises(ValueError, match="does not fit the model") as caught:
        load_reference_weights(backbone, _with(**changes))
    assert problem in str(caught.value)
    for path, value in weight_values(backbone).items():
        np.testing.assert_array_equal(value, before[path])


def test_all_mismatches_are_named_at_once():
    wrong = {"embeddings__dense__bias": _zeros(47), "fit_dense__weight": None, "extra": _zeros(1)}
    with pytest.raises(ValueError, match="fit_dense.weight is missing") as caught:
        load_reference_weights(_backbone(), _with(**wrong))
    assert "embeddings.dense.bias has shape" in str(caught.value)
    assert "extra is unknown" in str(caught.value)


def test_a_wider_stack_than_the_dict_s_is_an_error():
    golden_of_three = {n: v for n, v in _SUPERNET.weights.items() if ".all_ffn.3." not in n}
    with pytest.raises(ValueError, match=r"encoder.0.all_ffn.3.dense1.weight is missing"):
        load_reference_weights(_backbone(), golden_of_three)


def test_the_reference_s_bert_has_one_network_per_layer():
    teacher = golden.read("teacher_bert_mnli")
    assert golden.architecture_of(teacher).cells == (CellSpec.ordinary(),) * 6
    backbone = golden.backbone_for(teacher)
    load_reference_weights(backbone, teacher.weights)
    (ffn,) = backbone.cells[5].feed_forwards
    np.testing.assert_array_equal(ffn.kernel_1, teacher.weights["encoder.5.ffn.dense1.weight"].T)
