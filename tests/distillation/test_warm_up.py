from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from tests.models.small_models import small_architecture, small_backbone
from tf_efficientbert.architecture import Architecture
from tf_efficientbert.distillation.warm_up import (
    WarmUpOptions,
    inherit_token_table,
)
from tf_efficientbert.errors import UserError

_WIDE, _NARROW = 24, 8


@pytest.fixture
def teacher():
    """A teacher whose token table is anisotropic and, like MiniLM's, has a nonzero mean."""
    backbone = small_backbone(small_architecture(embedding="bert"), seed=3)
    draws = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(draws.normal(size=(_WIDE, _WIDE)))
    table = draws.normal(size=(40, _WIDE)) * 0.8 ** np.arange(_WIDE) @ rotation
    mean = draws.normal(size=_WIDE)
    table += 0.1 * np.linalg.norm(table, axis=1).mean() * mean / np.linalg.norm(mean)
    backbone.embedding.token_table.assign(table)
    return backbone


def _tables(teacher, student):
    return [np.asarray(model.embedding.token_table, float) for model in (teacher, student)]


def _best_approximation(table, rank):
    left, values, right = np.linalg.svd(table, full_matrices=False)
    return left[:, :rank] * values[:rank] @ right[:rank]


def test_token_differences_equal_those_of_the_best_approximation(teacher):
    student = small_backbone()
    inherit_token_table(student, teacher)
    teacher_table, student_table = _tables(teacher, student)
    best = _best_approximation(teacher_table - teacher_table.mean(0), _NARROW)
    # Differences between neighbours determine all other differences.
    student_table, best = np.diff(student_table[1:], axis=0), np.diff(best[1:], axis=0)
    np.testing.assert_allclose(student_table @ student_table.T, best @ best.T, atol=1e-4)


def test_inner_products_are_nearly_as_close_as_those_of_the_best_approximation(teacher):
    student = small_backbone()
    inherit_token_table(student, teacher)
    teacher_table, student_table = (table[1:] for table in _tables(teacher, student))
    best = _best_approximation(teacher_table, _NARROW)

    def error(table):
        return np.linalg.norm(teacher_table @ teacher_table.T - table @ table.T)

    assert error(best) <= error(student_table) < 1.5 * error(best)
    random = np.linalg.qr(np.random.default_rng(1).normal(size=(_WIDE, _NARROW)))[0]
    assert error(teacher_table @ random) > 3 * error(best)


def test_the_initial_table_does_not_depend_on_the_number_of_threads():
    table = np.random.default_rng(0).normal(size=(3000, 384)).astype(np.float32)
    teacher = SimpleNamespace(embedding=SimpleNamespace(token_table=table))
    starts = []
    for threads in (1, 2):
        embedding = SimpleNamespace(token_table=SimpleNamespace(assign=starts.append))
        student = SimpleNamespace(
            architecture=SimpleNamespace(embedding_size=128), embedding=embedding
        )
        with threadpool_limits(threads, "blas"):
            inherit_token_table(student, teacher)
    np.testing.assert_array_equal(*starts)


def test_a_table_as_wide_as_the_teacher_s_keeps_all_inner_products(teacher):
    student = small_backbone(small_architecture(embedding_size=_WIDE))
    inherit_token_table(student, teacher)
    teacher_table, student_table = (table[1:] for table in _tables(teacher, student))
    np.testing.assert_allclose(
        student_table @ student_table.T, teacher_table @ teacher_table.T, atol=1e-4
    )


def test_the_padding_row_stays_zero(teacher):
    student = small_backbone()
    inherit_token_table(student, teacher)
    assert not np.any(student.embedding.token_table[0])
    assert np.all(np.any(student.embedding.token_table[1:], axis=1))


def test_a_table_wider_than_the_teacher_s_is_rejected(teacher):
    student = small_backbone(small_architecture(embedding_size=_WIDE + 1))
    before = student.embedding.token_table.numpy()
    with pytest.raises(UserError, match="embedding_size=25 is wider than the teacher's 24"):
        inherit_token_table(student, teacher)
    np.testing.assert_array_equal(student.embedding.token_table, before)


def test_the_supernet_has_four_ordinary_networks_in_each_layer():
    architecture = WarmUpOptions(hidden_size=48, num_layers=3).architecture()
    assert architecture.formulas == ("linear4_1(gelu(linear4_1(x,wb1)),wb2)",) * 3
    assert (architecture.hidden_size, architecture.ffn_width) == (48, 48)
    assert WarmUpOptions(ffn_width=30).architecture().ffn_width == 30


def test_the_default_supernet_is_the_paper_s():
    assert WarmUpOptions().architecture() == Architecture.from_preset("efficientbert").supernet()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 50}, r"invalid: hidden_size \(50\) must be a multiple of num_heads"),
        ({"num_layers": 0}, "at least one cell"),
        ({"embedding_size": 0}, "embedding_size must be a positive integer"),
    ],
)
def test_invalid_sizes_are_rejected(options, message):
    with pytest.raises(UserError, match=message):
        WarmUpOptions(**options).architecture()
