import ast
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tf_efficientbert.architecture.expression as expression_module
from tf_efficientbert.architecture.expression import (
    Expression,
    FormulaError,
    canonical,
    is_valid,
    parse,
    violation,
    width_error,
    widths_fit,
    with_linear_name,
)

from .strategies import any_expressions, valid_formulas, with_swaps

FIXTURES = Path(__file__).parent.parent / "fixtures"
VERDICTS = json.loads((FIXTURES / "expression_verdicts.json").read_text())["verdicts"]
ORDINARY = "linear1_2(gelu(linear1_2(x,wb1)),wb2)"


def test_there_are_417_verdicts_of_both_kinds():
    assert len(VERDICTS) == 417
    assert sum(case["valid"] for case in VERDICTS) == 155


@pytest.mark.parametrize("case", VERDICTS, ids=lambda case: case["expression"])
def test_verdict_and_height_are_the_reference_s(case):
    expression = parse(case["expression"])
    assert str(expression) == case["expression"]
    assert expression.height == case["height"]
    assert is_valid(case["expression"]) is case["valid"]
    assert (violation(expression) is None) is case["valid"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("linear1_1(x,wb1)", "height is 1, must be 3 to 7"),
        ("linear1_1(gelu(linear1_1(wb1,wb1)),wb2)", "x does not appear"),
        ("linear1_1(gelu(linear1_1(x,x)),wb2)", "wb1 appears 0 times"),
        ("linear1_1(gelu(linear1_1(x,wb1)),add(wb2,wb2))", "wb2 appears 2 times"),
        ("linear1_1(gelu(linear1_1(x,wb2)),wb1)", "wb2 comes before wb1"),
        ("linear1_1(gelu(max(x,wb1)),wb2)", "second arguments of the two linear maps"),
        ("linear1_1(gelu(linear1_1(wb1,x)),wb2)", "second arguments of the two linear maps"),
        ("linear1_1(gelu(linear1_2(x,wb1)),wb2)", "linear1_1 and linear1_2 differ"),
        ("linear1_1(linear1_1(gelu(x),wb1),wb2)", "directly to a linear map"),
        ("linear1_1(gelu(relu(linear1_1(x,wb1))),wb2)", "directly to an activation"),
        ("linear1_1(gelu(linear1_1(add(x,x),wb1)),wb2)", "add(x,x) has two identical"),
    ],
)
def test_the_broken_rule_is_named(text, rule):
    assert rule in violation(parse(text))
    assert not is_valid(text)


def test_height_7_is_valid_and_height_8_is_not():
    tree = "linear1_1(gelu(linear1_1({},wb1)),wb2)"
    seven = tree.format("add(x,relu(max(x,tanh(x))))")
    eight = tree.format("tanh(add(x,relu(max(x,tanh(x)))))")
    assert (parse(seven).height, parse(eight).height) == (7, 8)
    assert is_valid(seven)
    assert not is_valid(eight)


def test_the_same_rules_hold_under_the_neutral_name():
    neutral = with_linear_name(parse(ORDINARY), "linear")
    assert str(neutral) == "linear(gelu(linear(x,wb1)),wb2)"
    assert violation(neutral) is None
    assert with_linear_name(neutral, "linear1_2") == parse(ORDINARY)


@given(any_expressions())
def test_parsing_the_printed_form_gives_the_tree_back(expression):
    assert parse(str(expression)) == expression


@given(any_expressions())
def test_walking_is_the_reading_order(expression):
    names = [node.name for node in expression.walk()]
    assert names == str(expression).replace("(", " ").replace(",", " ").replace(")", "").split()


def test_blanks_and_line_breaks_are_ignored():
    assert str(parse("  linear1_2( gelu(linear1_2(x ,wb1)),\n   wb2 ) ")) == ORDINARY


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("", "position 0"),
        ("gelu(x", "never closed"),
        ("gelu(x))", "unmatched"),
        ("softplus(x)", "'softplus'"),
        ("linear5_1(x,wb1)", "'linear5_1'"),
        ("linear0_1(x,wb1)", "'linear0_1'"),
        ("linear(x,wb1)", "lacks its stack and ratio"),
        ("gelu(x,x)", "'gelu' takes 1 arguments, got 2"),
        ("add(x)", "'add' takes 2 arguments, got 1"),
        ("gelu", "'gelu' takes 1 arguments, got 0"),
        ("x(x)", "'x' takes 0 arguments, got 1"),
        ("gelu(wb3)", "'wb3'"),
        ("gelu(1)", "'1' is neither"),
        ("gelu((x,x))", "'(x,x)' is neither"),
        ("gelu(not x)", "'not x' is neither"),
        ("gelu(x)(x)", "'gelu(x)(x)' is neither"),
        ("x.y", "character '.' at position 1"),
        ("gelu(*x)", "character '*' at position 5"),
        ("gelu(x=x)", "character '='"),
        ("gelu(\uff58)", "character '\uff58'"),
        ("__import__('os')", 'character "\'"'),
    ],
)
def test_what_cannot_be_read_is_named(text, piece):
    with pytest.raises(FormulaError) as caught:
        parse(text)
    assert piece in str(caught.value)
    assert repr(text) in str(caught.value)
    assert not is_valid(text)
    assert not widths_fit(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "(" * 100_000 + ")" * 100_000,
        "gelu(" * 3_000 + "x" + ")" * 3_000,
        "gelu(" * 150 + "x" + ")" * 150,
        "x" + "()" * 4_000,
        "x" + "()" * 400,
        "not " * 2_400 + "x",
        "not " * 500 + "x",
        "x if x else " * 800 + "x",
        "x" * 100_000,
        "\0",
        "x\0",
    ],
    ids=lambda text: f"{text[:8]!r} x {len(text)}",
)
def test_hostile_text_is_a_formula_error_with_a_short_message(text):
    with pytest.raises(FormulaError) as caught:
        parse(text)
    assert len(str(caught.value)) < 1_000


@given(st.text() | st.text(alphabet="linear1_2geux,()wb "))
def test_no_text_raises_anything_but_a_formula_error(text):
    try:
        parse(text)
    except FormulaError:
        assert not is_valid(text)


def test_what_is_not_text_is_a_formula_error():
    with pytest.raises(FormulaError, match="a formula is text, got NoneType"):
        parse(None)


def test_formulas_are_read_without_eval():
    tree = ast.parse(Path(expression_module.__file__).read_text())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert "ast" in names
    assert not names & {"eval", "exec", "compile", "__import__"}


def test_a_node_with_the_wrong_number_of_arguments_cannot_be_made():
    with pytest.raises(FormulaError, match="'max' takes 2 arguments, got 1"):
        Expression("max", (Expression("x"),))


@pytest.mark.parametrize("case", [c for c in VERDICTS if c["valid"]], ids=lambda c: c["expression"])
@pytest.mark.parametrize("channel_mismatch", ["slice", "pad"])
def test_widths_of_every_formula_the_reference_kept_fit(case, channel_mismatch):
    assert widths_fit(case["expression"], channel_mismatch)


@pytest.mark.parametrize(
    ("text", "channel_mismatch", "sizes", "problem"),
    [
        # W2 is fed with x, d wide, where it takes the inner width.
        (
            "add(linear1_2(x,wb1),linear1_2(tanh(x),wb2))",
            "slice",
            (540, 540),
            "tanh(x) is 540 wide, wb2 takes 270",
        ),
        ("add(linear1_1(x,wb1),linear1_1(tanh(x),wb2))", "slice", (540, 540), None),
        ("add(linear1_1(x,wb1),linear1_1(tanh(x),wb2))", "pad", (768, 3072), "takes 3072"),
        # The result is sliced to the inner width.
        (
            "add(linear1_3(x,wb1),linear1_3(tanh(linear1_3(x,wb1)),wb2))",
            "slice",
            (540, 540),
            "is 180 wide, must be 540",
        ),
        # Joining x to the inner tensor: slicing fits if it is the narrower, padding if the wider.
        ("linear1_2(gelu(mul(linear1_2(x,wb1),x)),wb2)", "slice", (540, 540), None),
        (
            "linear1_2(gelu(mul(linear1_2(x,wb1),x)),wb2)",
            "pad",
            (540, 540),
            "gelu(mul(linear1_2(x,wb1),x)) is 540 wide, wb2 takes 270",
        ),
        ("linear1_2(gelu(mul(linear1_2(x,wb1),x)),wb2)", "pad", (768, 3072), None),
        (
            "linear1_2(gelu(mul(linear1_2(x,wb1),x)),wb2)",
            "slice",
            (768, 3072),
            "gelu(mul(linear1_2(x,wb1),x)) is 768 wide, wb2 takes 1536",
        ),
        # The inner width is rounded down: 541 // 2 = 270, 541 // 4 = 135.
        ("max(tanh(linear1_2(x,wb1)),x)", "slice", (541, 541), "is 270 wide, must be 541"),
        ("max(tanh(linear1_4(x,wb1)),x)", "slice", (541, 541), "is 135 wide, must be 541"),
        (ORDINARY, "slice", (4, 1), "leaves no inner width out of 1"),
        ("linear1_1(gelu(wb1),wb2)", "slice", (540, 540), "used here as a tensor"),
        ("linear1_1(gelu(x),x)", "slice", (540, 540), "has x where wb1 or wb2 belongs"),
    ],
)
def test_widths_that_do_not_fit_are_named(text, channel_mismatch, sizes, problem):
    found = width_error(parse(text), channel_mismatch, *sizes)
    assert found is None if problem is None else problem in found
    assert widths_fit(text, channel_mismatch, *sizes) is (problem is None)


def test_usual_widths_are_540_and_540_or_768_and_3072():
    inside = parse("linear1_1(gelu(x),wb2)")
    assert width_error(inside) is None
    assert "gelu(x) is 768 wide, wb2 takes 3072" in width_error(inside, "pad")
    result = parse("linear1_1(gelu(x),wb1)")
    assert "is 3072 wide, must be 768" in width_error(result, "pad")
    assert "is 270 wide, must be 540" in width_error(parse("linear1_2(gelu(x),wb1)"))


def test_an_unknown_channel_mismatch_is_an_error():
    with pytest.raises(ValueError, match="must be one of .*'slice', 'pad'.* got 'crop'"):
        widths_fit(ORDINARY, "crop")


def test_widths_need_a_ratio():
    with pytest.raises(FormulaError, match="no widths without a ratio"):
        width_error(with_linear_name(parse(ORDINARY), "linear"))


def test_both_orders_of_a_commutative_operator_are_one_canonical_form():
    for operator in ("add", "mul", "max"):
        assert canonical(parse(f"{operator}(x,gelu(x))")) == canonical(
            parse(f"{operator}(gelu(x),x)")
        )


def test_different_operators_and_groupings_stay_different():
    assert canonical(parse("add(x,gelu(x))")) != canonical(parse("mul(x,gelu(x))"))
    left = parse("add(add(x,gelu(x)),tanh(x))")
    right = parse("add(x,add(gelu(x),tanh(x)))")
    assert canonical(left) != canonical(right)


def test_weights_stay_in_order_in_the_canonical_form():
    text = "add(linear1_1(x,wb1),linear1_1(tanh(x),wb2))"
    assert is_valid(text)
    # By text alone the side with wb2 would come first.
    assert str(canonical(parse(text))) == text


def test_arguments_that_differ_only_in_order_stay_valid_in_the_canonical_form():
    texts = [
        f"linear1_1(gelu(linear1_1(add({a},{b}),wb1)),wb2)"
        for a, b in (("mul(x,tanh(x))", "mul(tanh(x),x)"), ("mul(tanh(x),x)", "mul(x,tanh(x))"))
    ]
    assert all(map(is_valid, texts))
    first, second = (canonical(parse(text)) for text in texts)
    assert first == second
    assert violation(first) is None


@given(any_expressions(), st.randoms(use_true_random=False))
def test_the_canonical_form_does_not_depend_on_argument_order(expression, draws):
    assert canonical(with_swaps(expression, draws)) == canonical(expression)


@given(any_expressions())
def test_the_canonical_form_is_its_own_canonical_form(expression):
    assert canonical(canonical(expression)) == canonical(expression)


@given(valid_formulas(), st.sampled_from(["slice", "pad"]))
def test_the_canonical_form_of_a_valid_formula_is_valid_and_as_wide(formula, channel_mismatch):
    form = canonical(formula)
    assert violation(form) is None
    fits = width_error(formula, channel_mismatch) is None
    assert (width_error(form, channel_mismatch) is None) is fits
    assert sorted(n.name for n in form.walk()) == sorted(n.name for n in formula.walk())
