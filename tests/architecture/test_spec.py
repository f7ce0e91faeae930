import ast
import json
import pickle
import sys
from dataclasses import FrozenInstanceError, replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tf_efficientbert.architecture as architecture_package
from tf_efficientbert.architecture import (
    Architecture,
    ArchitectureError,
    CellSpec,
    FormulaError,
)
from tf_efficientbert.architecture.expression import parse
from tf_efficientbert.architecture.presets import PRESETS

from .strategies import valid_formulas

_STORED = Path(__file__).parent.parent / "fixtures" / "architectures"
ORDINARY = "linear4_2(gelu(linear4_2(x,wb1)),wb2)"


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    num_heads = draw(st.integers(1, 4))
    hidden_size = num_heads * draw(st.integers(4, 60))
    # Inner tensors no wider than x under slicing, and no narrower under padding, always fit.
    channel_mismatch, ffn_widths = draw(
        st.sampled_from([("slice", (4, hidden_size)), ("pad", (4 * hidden_size, 8 * hidden_size))])
    )
    return Architecture.from_formulas(
        [str(formula) for formula in draw(st.lists(valid_formulas(), min_size=1, max_size=3))],
        hidden_size=hidden_size,
        ffn_width=draw(st.integers(*ffn_widths)),
        num_heads=num_heads,
        embedding_size=draw(st.integers(1, 300)),
        embedding=draw(st.sampled_from(["trigram", "bert"])),
        channel_mismatch=channel_mismatch,
    )


def test_a_cell_is_its_formula_stack_and_ratio():
    cell = CellSpec.from_text(ORDINARY)
    assert str(cell.formula) == "linear(gelu(linear(x,wb1)),wb2)"
    assert (cell.stack, cell.ratio) == (4, Fraction(1, 2))
    assert str(cell) == ORDINARY
    assert cell.expression == parse(ORDINARY)
    assert cell == CellSpec.ordinary(4, Fraction(1, 2))


@given(valid_formulas())
def test_a_cell_prints_the_text_it_was_read_from(formula):
    assert str(CellSpec.from_text(str(formula))) == str(formula)


@pytest.mark.parametrize(
    ("ratio", "ffn_width", "inner"), [(1, 541, 541), (2, 541, 270), (3, 540, 180), (3, 3071, 1023)]
)
def test_the_inner_width_is_rounded_down(ratio, ffn_width, inner):
    width = CellSpec.ordinary(ratio=Fraction(1, ratio)).inner_width(ffn_width)
    assert width == inner
    assert type(width) is int


def test_a_ratio_may_be_given_as_any_number_equal_to_it():
    assert str(CellSpec.ordinary(ratio=0.5)) == "linear1_2(gelu(linear1_2(x,wb1)),wb2)"
    assert CellSpec.ordinary(ratio=1) == CellSpec.ordinary(ratio=Fraction(1))


def test_cells_that_differ_only_in_argument_order_have_one_canonical_cell():
    first = CellSpec.from_text("linear1_2(relu(mul(linear1_2(x,wb1),x)),wb2)")
    second = CellSpec.from_text("linear1_2(relu(mul(x,linear1_2(x,wb1))),wb2)")
    assert first != second
    assert first.canonical() == second.canonical()


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: CellSpec.from_text("linear1_1(x,wb1)"), r"linear1_1\(x,wb1\).*height is 1"),
        (lambda: CellSpec.from_text("linear(gelu(linear(x,wb1)),wb2)"), "lacks its stack"),
        (lambda: CellSpec.ordinary(stack=5), "stack must be one of .* got 5"),
        (lambda: CellSpec.ordinary(stack=True), "stack must be one of .* got True"),
        (lambda: CellSpec.ordinary(ratio=Fraction(2, 3)), "ratio must be 1, .* got 2/3"),
        (lambda: CellSpec(parse(ORDINARY), 4, Fraction(1, 2)), "a second time"),
        (lambda: CellSpec(parse("gelu(x)"), 1, Fraction(1)), "height is 1"),
    ],
)
def test_a_cell_against_the_rules_is_a_formula_error(make, problem):
    with pytest.raises(FormulaError, match=problem):
        make()


@pytest.mark.parametrize("path", sorted(_STORED.glob("*.json")), ids=lambda path: path.stem)
def test_files_of_earlier_versions_are_read(path):
    preset = Architecture.from_preset(path.stem.rpartition("_")[0])
    assert Architecture.from_json(path.read_text("utf-8")) == preset


def test_fields_that_a_file_lacks_have_their_defaults():
    given = json.loads(Architecture.from_formulas([ORDINARY]).to_json())
    del given["embedding"], given["channel_mismatch"]
    read = Architecture.from_json(json.dumps(given))
    assert (read.embedding, read.channel_mismatch) == ("trigram", "slice")


@given(architectures())
def test_an_architecture_survives_json_and_pickling(architecture):
    again = Architecture.from_json(architecture.to_json())
    assert again == architecture
    assert hash(again) == hash(architecture)
    assert again.to_json() == architecture.to_json()
    assert pickle.loads(pickle.dumps(architecture)) == architecture


def test_json_is_indented_and_holds_the_paper_s_text_form():
    text = Architecture.from_formulas([ORDINARY], hidden_size=12, ffn_width=8).to_json()
    assert json.loads(text) == {
        "hidden_size": 12,
        "ffn_width": 8,
        "num_heads": 12,
        "embedding_size": 128,
        "embedding": "trigram",
        "channel_mismatch": "slice",
        "formulas": [ORDINARY],
    }
    assert '\n  "hidden_size": 12,\n' in text


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda given: given.pop("ffn_width"), "misses ffn_width"),
        (lambda given: given.update(layers=6), "has unknown layers"),
        (lambda given: given.update(hidden_size="540"), "hidden_size .* got '540'"),
        (lambda given: given.update(hidden_size=540.0), "hidden_size .* got 540.0"),
        (lambda given: given.update(hidden_size=True), "hidden_size .* got True"),
        (lambda given: given.update(formulas=ORDINARY), "formulas must be a list"),
        (lambda given: given.update(formulas=None), "formulas must be a list, .* got None"),
        (lambda given: given.update(formulas=[ORDINARY, 3]), "layer 2 of 2: .* got int 3"),
    ],
)
def test_what_is_wrong_in_json_is_named(change, problem):
    given = json.loads(Architecture.from_formulas([ORDINARY]).to_json())
    change(given)
    with pytest.raises(ArchitectureError, match=problem):
        Architecture.from_json(json.dumps(given))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"'])
def test_json_that_is_no_object_is_an_architecture_error(text):
    with pytest.raises(ArchitectureError, match="an architecture's JSON"):
        Architecture.from_json(text)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"hidden_size": 0}, "hidden_size must be a positive integer, got 0"),
        ({"ffn_width": -1}, "ffn_width must be a positive integer, got -1"),
        ({"num_heads": 7}, r"hidden_size \(540\) must be a multiple of num_heads \(7\)"),
        ({"embedding_size": 0}, "embedding_size must be a positive integer, got 0"),
        ({"embedding": "bigram"}, "embedding must be one of .*trigram.*bert.* got 'bigram'"),
        ({"channel_mismatch": "crop"}, "channel_mismatch must be one of .* got 'crop'"),
        ({"cells": ()}, "at least one cell"),
        ({"cells": (ORDINARY,)}, "layer 1 of 1: expected a CellSpec"),
    ],
)
def test_a_network_that_cannot_be_is_an_architecture_error(changes, problem):
    with pytest.raises(ArchitectureError, match=problem):
        replace(Architecture.from_preset("efficientbert"), **changes)


def test_widths_that_do_not_fit_name_layer_formula_and_widths():
    misfit = "linear1_2(relu(mul(linear1_2(x,wb1),x)),wb2)"
    with pytest.raises(ArchitectureError) as caught:
        Architecture.from_formulas([ORDINARY, misfit], channel_mismatch="pad")
    message = str(caught.value)
    assert "layer 2 of 2" in message
    assert misfit in message
    assert "540 wide, wb2 takes 270" in message


def test_an_invalid_formula_names_its_layer():
    with pytest.raises(ArchitectureError, match=r"layer 2 of 2: .*height is 1"):
        Architecture.from_formulas([ORDINARY, "linear1_1(x,wb1)"])


def test_a_bert_embedding_is_as_wide_as_the_network():
    assert Architecture.from_formulas([ORDINARY], embedding="bert").embedding_size == 540
    assert Architecture.from_formulas([ORDINARY]).embedding_size == 128


def test_an_architecture_is_frozen_and_compares_by_value():
    architecture = Architecture.from_preset("efficientbert")
    with pytest.raises(FrozenInstanceError):
        architecture.hidden_size = 360
    assert architecture == Architecture.from_formulas(list(architecture.formulas))
    assert len({architecture, Architecture.from_formulas(architecture.formulas)}) == 1
    listed = replace(architecture, cells=list(architecture.cells))
    assert (listed, hash(listed)) == (architecture, hash(architecture))
    assert architecture != replace(architecture, cells=architecture.cells[::-1])


@given(architectures())
def test_the_canonical_network_is_valid_and_costs_the_same(architecture):
    form = architecture.canonical()
    assert form.canonical() == form
    assert form.count_parameters() == architecture.count_parameters()
    assert Architecture.from_json(form.to_json()) == form


def test_networks_that_differ_only_in_argument_order_have_one_canonical_form():
    first, second = (
        Architecture.from_formulas([ORDINARY, f"linear1_2(relu({product}),wb2)"])
        for product in ("mul(linear1_2(x,wb1),x)", "mul(x,linear1_2(x,wb1))")
    )
    assert first != second
    assert first.canonical() == second.canonical()


def test_ordinary_cells_keep_stack_and_ratio():
    architecture = Architecture.from_preset("efficientbert").with_ordinary_cells()
    assert architecture.formulas == tuple(
        f"linear{name}(gelu(linear{name}(x,wb1)),wb2)"
        for name in ("4_2", "2_1", "1_2", "2_2", "1_2", "2_3")
    )


@pytest.mark.parametrize("name", PRESETS)
def test_the_supernet_has_the_same_sizes_and_four_full_ordinary_ffns(name):
    architecture = Architecture.from_preset(name)
    supernet = architecture.supernet()
    full = "linear4_1(gelu(linear4_1(x,wb1)),wb2)"
    assert supernet.formulas == (full,) * architecture.num_layers
    assert replace(supernet, cells=architecture.cells) == architecture


@pytest.mark.parametrize(
    ("name", "hidden_size", "layers", "ffn_width", "embedding", "channel_mismatch"),
    [
        ("efficientbert_tiny", 360, 6, 360, "trigram", "slice"),
        ("efficientbert", 540, 6, 540, "trigram", "slice"),
        ("efficientbert_plus", 540, 6, 540, "trigram", "slice"),
        ("efficientbert_plus_plus", 360, 12, 540, "trigram", "slice"),
        ("efficient_tinybert", 768, 6, 3072, "bert", "pad"),
    ],
)
def test_presets_have_the_published_shapes(
    name, hidden_size, layers, ffn_width, embedding, channel_mismatch
):
    architecture = Architecture.from_preset(name)
    assert architecture.num_heads == 12
    assert architecture.hidden_size == hidden_size
    assert architecture.num_layers == layers
    assert architecture.ffn_width == ffn_width
    assert architecture.embedding == embedding
    assert architecture.channel_mismatch == channel_mismatch


def test_plus_plus_has_each_formula_in_two_layers_running():
    six = Architecture.from_preset("efficientbert").formulas
    twelve = Architecture.from_preset("efficientbert_plus_plus").formulas
    assert twelve[0::2] == twelve[1::2] == six


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(ArchitectureError) as caught:
        Architecture.from_preset("bert_base")
    assert "'bert_base'" in str(caught.value)
    assert all(name in str(caught.value) for name in PRESETS)


def test_the_package_imports_nothing_but_the_standard_library_and_for_mutation_deap():
    for path in Path(architecture_package.__file__).parent.glob("*.py"):
        imported = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                inside = node.module.startswith("tf_efficientbert.architecture")
                imported |= set() if inside else {node.module.split(".")[0]}
        foreign = imported - set(sys.stdlib_module_names)
        assert foreign == ({"deap"} if path.name == "mutation.py" else set()), path.name
