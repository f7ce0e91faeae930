import dataclasses
import json
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from threadpoolctl import threadpool_limits

from tests.models.huggingface_folder import CONFIG, random_weights, write_folder
from tests.models.small_models import small_architecture, small_backbone
from tests.models.small_text_models import VOCABULARY, small_supernet, write_lines
from tf_efficientbert.architecture import Architecture, CellSpec
from tf_efficientbert.architecture.expression import RATIO_DENOMINATORS, STACKS
from tf_efficientbert.data.batching import encode
from tf_efficientbert.distillation.warm_up import (
    WarmUpOptions,
    drawn_choices,
    inherit_token_table,
    warm_up,
)
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.teacher import load_teacher
from tf_efficientbert.models.text_model import load

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


@pytest.fixture
def continued(tmp_path):
    """Options of a warm-up that continues with a small supernet."""
    supernet = small_supernet(2, fit_size=CONFIG["hidden_size"])
    supernet.save(tmp_path / "supernet")
    config = {**CONFIG, "vocab_size": len(VOCABULARY)}
    bert = write_folder(tmp_path / "bert", config, random_weights(config))
    write_lines(bert / "vocab.txt", VOCABULARY)
    architecture = supernet.backbone.architecture
    sizes = ("hidden_size", "ffn_width", "num_heads", "num_layers", "embedding_size")
    return WarmUpOptions(
        **{name: getattr(architecture, name) for name in sizes},
        output_dir=str(tmp_path / "run"),
        supernet=str(tmp_path / "supernet"),
        teacher_dir=str(bert),
        corpus=write_lines(tmp_path / "text.txt", ["word1 word2 word3 word4 word5"] * 8),
        corpus_max_tokens=8,
        recipe="hidden",
        batch_size=4,
        epochs=2.0,
        learning_rate=1e-3,
    )


def test_a_warm_up_continues_with_a_supernet(continued):
    first = json.loads(json.dumps(warm_up(dataclasses.replace(continued, learning_rate=1e-12))))
    start, end = (
        load(folder).backbone for folder in (continued.supernet, f"{continued.output_dir}/model")
    )
    for before, after in zip(start.weights, end.weights, strict=True):
        np.testing.assert_allclose(before, after, rtol=0, atol=1e-8)
    again = dataclasses.replace(
        continued, supernet=f"{continued.output_dir}/model", output_dir=f"{continued.output_dir}2"
    )
    assert warm_up(again)["loss"] < first["loss"]


def test_without_slices_the_whole_supernet_learns():
    assert drawn_choices(tf.constant([0, 1]), 6, 0.0) is None


def test_slices_alternate_with_the_whole_and_have_all_stacks_and_ratios():
    drawn = [drawn_choices(tf.constant([5, step]), 6, 0.5).numpy() for step in range(200)]
    whole = [(choices == [max(STACKS), 1]).all() for choices in drawn]
    assert 70 < sum(whole) < 130
    slices = np.stack(
        [choices for choices, all_of_it in zip(drawn, whole, strict=True) if not all_of_it]
    )
    for column, values in ((0, STACKS), (1, RATIO_DENOMINATORS)):
        for layer in range(6):
            assert set(slices[:, layer, column]) == set(values)
    again = drawn_choices(tf.constant([5, 3]), 6, 0.5).numpy()
    np.testing.assert_array_equal(again, drawn[3])


def test_slices_learn(continued):
    """The smallest slice comes closer to the teacher by sliced steps than by whole ones."""
    errors = {}
    for share in (0.0, 1.0):
        folder = f"{continued.output_dir}-{share}"
        options = dataclasses.replace(
            continued, output_dir=folder, sliced_share=share, epochs=20.0, learning_rate=3e-3
        )
        warm_up(options)
        supernet = load(f"{folder}/model")
        smallest = (CellSpec.ordinary(1, Fraction(1, 4)),) * 2
        batch = encode(supernet.tokenizer, ["word1 word2 word3 word4 word5"], max_tokens=8).padded(
            np.arange(1)
        )
        teacher = load_teacher(Path(continued.teacher_dir)).backbone
        ours = supernet.backbone(batch, cells=smallest)["hidden_states"][-1]
        theirs = teacher(batch)["hidden_states"][-1]
        errors[share] = float(np.square(ours - theirs).mean())
    assert errors[1.0] < 0.8 * errors[0.0]


def test_units_are_sorted_on_request(continued):
    kept = {}
    for sort in (False, True):
        options = dataclasses.replace(
            continued,
            output_dir=f"{continued.output_dir}-{sort}",
            sort_units=sort,
            learning_rate=1e-12,
        )
        warm_up(options)
        supernet = load(f"{options.output_dir}/model").backbone
        kept[sort] = np.asarray(supernet.cells[0].feed_forwards[0].bias_1)
    assert not np.array_equal(kept[False], kept[True])
    np.testing.assert_allclose(np.sort(kept[False]), np.sort(kept[True]), rtol=0, atol=1e-6)
    with pytest.raises(UserError, match="--sort_units needs --supernet"):
        WarmUpOptions(sort_units=True)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_the_share_of_slices_is_a_share(share):
    with pytest.raises(UserError, match=f"--sliced_share={share}: expected a number from 0 to 1"):
        WarmUpOptions(sliced_share=share)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 16}, "^--hidden_size=16, but --supernet=.*supernet has 24$"),
        ({"num_layers": 3}, "^--num_layers=3, but --supernet=.*supernet has 2$"),
        ({"num_heads": 6, "hidden_size": 540}, "^--num_heads=6, but --supernet=.* has 4$"),
        ({"corpus_max_tokens": 90}, "^--corpus_max_tokens=90: the supernet has only"),
        ({"teacher_dir": ""}, "vocabulary differs|hidden size"),
    ],
)
def test_a_supernet_that_does_not_fit_the_flags_is_refused(continued, changes, message):
    with pytest.raises(UserError, match=message):
        warm_up(dataclasses.replace(continued, **changes))
