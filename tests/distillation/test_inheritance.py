import functools
from dataclasses import replace

import numpy as np
import pytest

from tests.models.small_models import (
    random_inputs,
    small_architecture,
    small_backbone,
    small_task_model,
    weight_values,
)
from tests.models.small_text_models import TASKS
from tf_efficientbert.architecture import CellSpec
from tf_efficientbert.distillation.inheritance import inherit, new_student

_ATTENTION_PARTS = ("query", "key", "value", "output_projection")


def _supernet(**arguments):
    return small_backbone(small_architecture().supernet(), seed=1, **arguments)


def _child(architecture, **arguments):
    return small_backbone(architecture, seed=2, **arguments)


def _assert_cut(child, parent):
    """Asserts that the variable `child` is the leading part of `parent`."""
    part = tuple(slice(size) for size in child.shape)
    np.testing.assert_array_equal(child.numpy(), parent.numpy()[part])


def _assert_layer_inherited(child, i, parent, j):
    """Asserts that layer `i` of the child is cut out of layer `j` of the parent."""
    attention, parent_attention = child.attentions[i], parent.attentions[j]
    for name in _ATTENTION_PARTS:
        _assert_cut(getattr(attention, name).kernel, getattr(parent_attention, name).kernel)
        _assert_cut(getattr(attention, name).bias, getattr(parent_attention, name).bias)
    norms = [(attention.layer_norm, parent_attention.layer_norm)]
    stacks = child.cells[i].feed_forwards, parent.cells[j].feed_forwards
    for ffn, source in zip(*stacks, strict=False):  # the parent's is the longer one
        for name in ("kernel_1", "bias_1", "kernel_2", "bias_2"):
            _assert_cut(getattr(ffn, name), getattr(source, name))
        norms.append((ffn.layer_norm, source.layer_norm))
    for norm, source in norms:
        _assert_cut(norm.gamma, source.gamma)
        _assert_cut(norm.beta, source.beta)


def _assert_rejected(child, parent, problem):
    before = weight_values(child)
    with pytest.raises(ValueError, match=problem):
        inherit(child, parent)
    for path, value in weight_values(child).items():
        np.testing.assert_array_equal(value, before[path])


def test_only_stack_and_ratio_are_sliced():
    parent, child = _supernet(fit_size=10), _child(small_architecture(), fit_size=10)
    inherit(child, parent)
    for i in range(3):
        _assert_layer_inherited(child, i, parent, i)
    for weight, source in zip(child.embedding.weights, parent.embedding.weights, strict=False):
        np.testing.assert_array_equal(weight, source)
    fits = child.fit_projection.weights, parent.fit_projection.weights
    for weight, source in zip(*fits, strict=False):
        np.testing.assert_array_equal(weight, source)


def test_a_narrower_child_inherits_the_first_channels_regardless_of_heads():
    parent = _supernet(fit_size=10)
    child = _child(small_architecture(hidden_size=16, ffn_width=16), fit_size=10)
    inherit(child, parent)
    for i in range(3):
        _assert_layer_inherited(child, i, parent, i)
    assert child.attentions[0].query.kernel.shape == (16, 16)  # heads of 4 from heads of 6
    embedding, source = child.embedding, parent.embedding
    np.testing.assert_array_equal(embedding.token_table, source.token_table)
    np.testing.assert_array_equal(embedding.position_table, source.position_table[:, :16])
    np.testing.assert_array_equal(embedding.segment_table, source.segment_table[:, :16])
    np.testing.assert_array_equal(embedding.projection.kernel, source.projection.kernel[:, :16])
    _assert_cut(embedding.layer_norm.gamma, source.layer_norm.gamma)
    np.testing.assert_array_equal(child.fit_projection.kernel, parent.fit_projection.kernel[:16])
    np.testing.assert_array_equal(child.fit_projection.bias, parent.fit_projection.bias)


def test_with_twice_as_many_layers_each_parent_layer_is_used_twice():
    parent = _supernet()
    child = _child(small_architecture([str(CellSpec.ordinary(stack=2))] * 6))
    inherit(child, parent)
    for i in range(6):
        _assert_layer_inherited(child, i, parent, i // 2)


def test_a_narrower_and_deeper_child_may_keep_the_inner_width():
    """EfficientBERT++: hidden 540 to 360, inner width 540 as before, 6 layers to 12."""
    parent = _supernet()
    doubled = [text for text in small_architecture().formulas for _ in range(2)]
    child = _child(small_architecture(doubled, hidden_size=16, ffn_width=24))
    inherit(child, parent)
    for i in range(6):
        _assert_layer_inherited(child, i, parent, i // 2)
    last = child.cells[5].feed_forwards[1]
    assert last.kernel_1.shape == (16, 24)
    np.testing.assert_array_equal(
        last.kernel_1.numpy(), parent.cells[2].feed_forwards[1].kernel_1.numpy()[:16]
    )


def test_a_child_of_equal_size_gives_the_same_outputs():
    parent, child = _supernet(), _child(small_architecture().supernet())
    inherit(child, parent)
    outputs = (model(random_inputs())["sequence_output"] for model in (child, parent))
    np.testing.assert_array_equal(*outputs)


def test_a_child_shares_no_memory_with_its_parent():
    parent, child = _supernet(), _child(small_architecture())
    before = weight_values(parent)
    inherit(child, parent)
    for weight in child.weights:
        weight.assign(weight * 0 + 5)
    for path, value in weight_values(parent).items():
        np.testing.assert_array_equal(value, before[path])


def test_a_bert_embedding_is_cut_in_its_width():
    wide = small_architecture(embedding="bert")
    parent = small_backbone(wide.supernet(), seed=1)
    child = _child(replace(wide, hidden_size=16))
    inherit(child, parent)
    np.testing.assert_array_equal(child.embedding.token_table, parent.embedding.token_table[:, :16])


def test_a_child_without_fit_projection_does_not_inherit_one():
    parent, child = _supernet(fit_size=10), _child(small_architecture())
    inherit(child, parent)
    _assert_layer_inherited(child, 0, parent, 0)


_SHALLOW = [str(CellSpec.ordinary())] * 3


@functools.cache
def _shallow_parent(embedding):
    return small_backbone(small_architecture(_SHALLOW, embedding=embedding), fit_size=10)


@pytest.mark.parametrize(
    ("child", "arguments", "problem"),
    [
        ({"hidden_size": 28}, {}, "cannot be cut out of"),
        ({"ffn_width": 28}, {}, r"kernel_1 of shape \(24, 28\) cannot be cut out of \(24, 24\)"),
        ({"formulas": [str(CellSpec.ordinary(stack=2))] * 3}, {}, "stacks 2 FFNs"),
        ({"formulas": _SHALLOW * 2 + _SHALLOW[:1]}, {}, "7 layers are not a multiple"),
        ({"formulas": _SHALLOW[:2]}, {}, "2 layers are not a multiple of the parent's 3"),
        ({"embedding": "bert"}, {}, "embedding differs: child bert, parent trigram"),
        ({"embedding_size": 6}, {}, "embedding_size differs: child 6, parent 8"),
        ({}, {"fit_size": 11}, "fit_projection"),
        ({}, {"max_positions": 17}, r"position_table of shape \(17, 24\)"),
    ],
)
def test_an_impossible_inheritance_is_an_error_and_does_not_change_the_child(
    child, arguments, problem
):
    sizes = {"formulas": _SHALLOW, **child}
    smaller = _child(small_architecture(**sizes), **{"fit_size": 10, **arguments})
    _assert_rejected(smaller, _shallow_parent("trigram"), problem)


def test_the_head_of_a_supernet_trained_on_the_task_is_inherited():
    parent = small_task_model(architecture=small_architecture().supernet(), fit_size=10)
    children = {
        width: new_student(
            small_architecture(hidden_size=width), parent, TASKS["classification"], dropout=0.0
        )
        for width in (24, 12)
    }
    for child in children.values():
        for target, source in zip(child.head.weights, parent.head.weights, strict=True):
            _assert_cut(target, source)
        _assert_cut(child.backbone.attentions[0].query.kernel, _first_query(parent))
    fresh = new_student(small_architecture(), parent.backbone, TASKS["classification"], dropout=0.0)
    for target, source in zip(fresh.head.weights, parent.head.weights, strict=True):
        assert not np.array_equal(target.numpy(), source.numpy())


def _first_query(model):
    return model.backbone.attentions[0].query.kernel


@pytest.mark.parametrize("vocabulary_size", [39, 41])
def test_another_vocabulary_size_is_rejected(vocabulary_size):
    child = _child(small_architecture(_SHALLOW), vocabulary_size=vocabulary_size)
    _assert_rejected(child, _shallow_parent("trigram"), "token_table|vocabulary_size")


def test_a_trigram_child_cannot_inherit_from_a_bert_parent():
    problem = "embedding differs: child trigram, parent bert"
    _assert_rejected(_child(small_architecture(_SHALLOW)), _shallow_parent("bert"), problem)
