import random
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tf_efficientbert.architecture import Architecture, CellSpec
from tf_efficientbert.architecture.expression import parse, violation
from tf_efficientbert.search.budget import Budget
from tf_efficientbert.search.space import FormulaSpace, JointSpace, SizeSpace, SpaceError

ANY_SIZE = Budget(0, 10**9, None, 100, 32)
EFFICIENTBERT = Architecture.from_preset("efficientbert")
PUBLISHED_BUDGET = Budget(15_000_000, 16_000_000, 768, 30522, 512)
ORDINARY = "linear1_1(gelu(linear1_1(x,wb1)),wb2)"
# W2's input must have width w: at most 24 with slicing, at least 24 with padding.
MIXED = "tanh(linear2_2(add(linear2_2(x,wb1),x),wb2))"

networks = st.sampled_from(
    [
        ("slice", 24, 24, (ORDINARY, MIXED)),
        ("slice", 24, 54, (ORDINARY, "linear3_4(relu(linear3_4(x,wb1)),wb2)")),
        ("pad", 24, 72, (ORDINARY, MIXED)),
    ]
).map(
    lambda given: Architecture.from_formulas(
        given[3], hidden_size=24, ffn_width=given[2], num_heads=2, channel_mismatch=given[0]
    )
)
seeds = st.integers(0, 10**6).map(lambda number: f"7/{number}/0")


def some_budget(architecture: Architecture) -> Budget:
    """Returns a budget for the architecture and about half of its space's candidates."""
    exact = ANY_SIZE.parameters(architecture)
    return Budget(exact - 4000, exact + 4000, None, 100, 32)


def spaces_of(best: Architecture):
    return JointSpace(best, ANY_SIZE), FormulaSpace(best), SizeSpace(best, some_budget(best))


@settings(max_examples=25, deadline=None)
@given(best=networks, seed=seeds)
def test_draws_are_valid_and_have_the_sizes_of_their_space(best, seed):
    for space in spaces_of(best):
        drawn = space.draw(seed)
        # from_json checks all rules and widths again.
        assert Architecture.from_json(drawn.to_json()) == drawn
        assert replace(drawn, cells=best.cells) == best
        assert len(space.encode(drawn)) == len(space.encode(best))
        assert space.draw(seed) == drawn


@settings(max_examples=25, deadline=None)
@given(best=networks, seed=seeds)
def test_a_stage_does_not_change_what_it_does_not_search(best, seed):
    _, formulas, sizes = spaces_of(best)
    of_formulas, of_sizes = formulas.draw(seed), sizes.draw(seed)
    assert [(cell.stack, cell.ratio) for cell in of_formulas.cells] == [
        (cell.stack, cell.ratio) for cell in best.cells
    ]
    assert [cell.formula for cell in of_sizes.cells] == [cell.formula for cell in best.cells]
    assert some_budget(best).holds(of_sizes)


def test_draws_of_stages_1_and_3_are_within_the_paper_s_budget():
    joint = JointSpace(EFFICIENTBERT, PUBLISHED_BUDGET)
    sizes = SizeSpace(EFFICIENTBERT, PUBLISHED_BUDGET)
    assert all(PUBLISHED_BUDGET.holds(joint.draw(str(seed))) for seed in range(15))
    assert all(PUBLISHED_BUDGET.holds(sizes.draw(str(seed))) for seed in range(200))


def test_draws_differ_and_do_not_change_the_state_of_random():
    best = Architecture.from_formulas((ORDINARY, MIXED), 24, 24, 2)
    random.seed(3)
    before = random.getstate()
    for space in spaces_of(best):
        assert len({space.draw(f"0/{index}/0") for index in range(40)}) > 10
    assert random.getstate() == before


def test_stage_1_starts_from_the_ordinary_network_and_ignores_the_given_cells():
    space = JointSpace(EFFICIENTBERT, PUBLISHED_BUDGET)
    assert [architecture.formulas for architecture in space.first] == [(ORDINARY,) * 6]
    assert space.first[0].hidden_size == 540
    tiny = Architecture.from_preset("efficientbert_tiny")
    of_other_cells = replace(tiny, cells=tiny.cells[::-1])
    drawn = [JointSpace(sizes, ANY_SIZE).draw("0/9/0") for sizes in (tiny, of_other_cells)]
    assert drawn[0] == drawn[1]


def test_stage_1_reaches_every_stack_and_ratio_and_other_formulas():
    space = JointSpace(Architecture.from_formulas((ORDINARY,) * 3, 24, 24, 2), ANY_SIZE)
    cells = [cell for index in range(60) for cell in space.draw(str(index)).cells]
    assert len({(cell.stack, cell.ratio) for cell in cells}) == 16
    assert len({cell.formula for cell in cells}) > 20


def test_stage_2_starts_from_its_best_with_and_without_outer_activations():
    assert [architecture.formulas for architecture in FormulaSpace(EFFICIENTBERT).first] == [
        EFFICIENTBERT.formulas,
        (
            "linear4_2(gelu(linear4_2(x,wb1)),wb2)",
            "linear2_1(gelu(linear2_1(x,wb1)),wb2)",
            "linear1_2(relu(linear1_2(x,wb1)),wb2)",
            "linear2_2(gelu(linear2_2(max(x,tanh(x)),wb1)),wb2)",
            "linear1_2(relu(mul(linear1_2(x,wb1),x)),wb2)",
            "linear2_3(gelu(linear2_3(x,wb1)),wb2)",
        ),
    ]


def test_an_outer_activation_is_kept_if_the_formula_is_invalid_without_it():
    # Without tanh the height is 2, below the minimum of 3.
    shallow = "tanh(mul(linear1_1(x,wb1),linear1_1(x,wb2)))"
    best = Architecture.from_formulas((shallow, ORDINARY), 24, 24, 2)
    assert violation(parse(shallow).arguments[0])
    assert FormulaSpace(best).first == (best,)


def test_stage_2_varies_the_formula_with_and_without_its_outer_activation():
    best = Architecture.from_formulas((f"sigmoid({ORDINARY})",), 24, 24, 2)
    roots = [FormulaSpace(best).draw(str(index)).cells[0].formula.name for index in range(100)]
    assert {"sigmoid", "linear"} <= set(roots)


def test_stage_3_starts_from_its_best():
    assert SizeSpace(EFFICIENTBERT, PUBLISHED_BUDGET).first == (EFFICIENTBERT,)


def test_a_first_candidate_outside_the_budget_is_left_out():
    too_small = Budget(0, 15_000_000, 768, 30522, 512)
    assert JointSpace(EFFICIENTBERT, too_small).first == ()
    assert SizeSpace(EFFICIENTBERT, too_small).first == ()


def test_stage_3_draws_all_16_sizes_if_the_formula_fits_them():
    space = SizeSpace(Architecture.from_formulas((ORDINARY,), 24, 24, 2), ANY_SIZE)
    drawn = {space.draw(str(index)).cells[0] for index in range(400)}
    assert drawn == {
        CellSpec.from_text(f"linear{s}_{r}(gelu(linear{s}_{r}(x,wb1)),wb2)")
        for s, r in product((1, 2, 3, 4), repeat=2)
    }
    assert sorted(space.encode(space.draw(str(index)))[0] for index in range(400))[::399] == [0, 15]


def test_stage_3_leaves_out_ratios_that_the_formula_does_not_fit():
    # x has width 24 and can feed W2 only if w is at most 24: ratios 1/3 and 1/4 of 72.
    formula = "linear1_3(add(linear1_3(x,wb1),x),wb2)"
    best = Architecture.from_formulas((formula,), 24, 72, 2)
    space = SizeSpace(best, ANY_SIZE)
    drawn = {space.draw(str(index)).cells[0].ratio.denominator for index in range(100)}
    assert drawn == {3, 4}


def test_an_impossible_budget_is_an_error_with_the_numbers():
    nothing = Budget(1, 2, None, 100, 32)
    best = Architecture.from_formulas((ORDINARY,), 24, 24, 2)
    for space in (JointSpace(best, nothing), SizeSpace(best, nothing)):
        with pytest.raises(SpaceError, match="none of 1000 random .* 1 to 2 .*had [0-9]+ to "):
            space.draw("0/0/0")


@pytest.mark.parametrize(
    "space", [JointSpace(EFFICIENTBERT, ANY_SIZE), FormulaSpace(EFFICIENTBERT)]
)
def test_a_formula_is_encoded_as_its_nodes_in_prefix_order(space):
    encoding = space.encode(EFFICIENTBERT)
    assert len(encoding) == 120
    first_layer, second_layer = encoding[:20], encoding[20:40]
    assert first_layer[7:] == (-1,) * 13
    tanh, outer, gelu, inner, x, wb1, wb2 = first_layer[:7]
    assert outer == inner and len({tanh, outer, gelu, x, wb1, wb2, -1}) == 7
    # Layer 2 has another linearS_R and outer activation, but the same gelu.
    assert second_layer[0] != tanh and second_layer[1] != outer and second_layer[2] == gelu


def test_formulas_of_more_than_20_nodes_are_valid_but_truncated_in_the_encoding():
    of_x = "add(mul(add(relu(x),x),max(x,elu(x))),max(mul(x,tanh(x)),add(x,sigmoid(x))))"
    long = f"linear1_1(gelu(linear1_1({of_x},wb1)),wb2)"
    other = long.replace("sigmoid", "swish")
    assert violation(parse(long)) is None
    assert len(list(parse(long).walk())) > 20
    networks = [Architecture.from_formulas((text,), 24, 24, 2) for text in (long, other)]
    encodings = {FormulaSpace(networks[0]).encode(network) for network in networks}
    assert len(encodings) == 1 and len(encodings.pop()) == 20
    assert networks[0].canonical() != networks[1].canonical()
