import pytest
from hypothesis import given
from hypothesis import strategies as st

from tf_efficientbert.compression.steps import Drop, Prune, Quantize, check_drops, parse_steps
from tf_efficientbert.errors import UserError

_LAYERS = st.sets(st.integers(1, 99), min_size=1).map(lambda layers: Drop(layers=tuple(layers)))
_STEPS = st.one_of(
    st.floats(0, 1, exclude_min=True, exclude_max=True).map(Prune),
    st.just(Prune("2:4")),
    st.just(Quantize()),
    st.integers(1, 99).map(Drop),
    _LAYERS,
)


@given(st.lists(_STEPS).map(tuple))
def test_formatted_steps_are_parsed_back(steps):
    assert parse_steps(",".join(map(str, steps))) == steps


@given(st.text())
def test_any_text_is_parsed_or_refused_with_the_flag_s_name(text):
    try:
        parse_steps(text)
    except UserError as error:
        assert str(error).startswith(f"--compress={text}: ")


def test_steps_are_parsed_in_order():
    text = " prune(0.5), prune( 2:4 ) ,quantize(int8),drop(1),drop(layers=5+3)"
    steps = (Prune(0.5), Prune("2:4"), Quantize("int8"), Drop(1), Drop(layers=(3, 5)))
    assert parse_steps(text) == steps
    assert parse_steps("") == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("prune(0.5", "cannot be parsed"),
        ("prune(0.5)], [drop(1)", "cannot be parsed"),
        ("prune(0.5)\0", "cannot be parsed"),
        ("prune(0.5) quantize(int8)", "cannot be parsed"),
        ("prune(0.5),shrink(2)", r"shrink\(2\) is not a step"),
        ("prune", "prune is not a step"),
        ("prune(0.5, 0.6)", r"prune\(0.5, 0.6\) is not a step"),
        ("drop(1),prune(share=0.5)", r"prune\(share=0.5\) is not a step"),
        ("prune(-0.5)", r"prune\(-0.5\) is not a step"),
        ("__import__('os').abort()", r"__import__\(os\).abort\(\) is not a step"),
        ("prune(1.0)", r"prune\(1.0\): expected a share above 0 and below 1, or 2:4"),
        ("prune(0.0)", r"prune\(0.0\): expected a share"),
        ("prune(1)", r"prune\(1\): expected a share"),
        ("prune(True)", r"prune\(True\): expected a share"),
        ("drop(1),prune(1:4)", r"prune\(1:4\): expected a share"),
        ("quantize(int3)", r"quantize\(int3\): expected int8"),
        ("quantize(8)", r"quantize\(8\) is not a step"),
        ("drop(0)", r"drop\(0\): expected a number of layers, drop\(1\), or a list"),
        ("drop(1.5)", r"drop\(1.5\): expected a number"),
        ("drop(layers=2+2)", r"drop\(layers=2 \+ 2\): expected a number"),
        ("drop(layers=2-1)", r"drop\(layers=2 - 1\): expected a number"),
        ("drop(layers=2+x)", r"drop\(layers=2 \+ x\): expected a number"),
    ],
)
def test_an_error_names_the_invalid_part(text, problem):
    with pytest.raises(UserError, match=f"^--compress=.*: {problem}"):
        parse_steps(text)


@pytest.mark.parametrize(
    ("text", "layers"), [("drop(3)", 3), ("drop(layers=4)", 3), ("drop(1),drop(layers=3)", 3)]
)
def test_missing_layers_cannot_be_dropped(text, layers):
    with pytest.raises(UserError, match=r"--compress: drop\(.*\) is not possible with . layers"):
        check_drops(parse_steps(text), layers)
    check_drops(parse_steps(text), layers + 1)
