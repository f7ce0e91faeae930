import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

from tests.architecture.strategies import valid_formulas
from tests.layers.numpy_layers import evaluate_formula, gelu_exact, gelu_tanh
from tf_efficientbert.architecture import CellSpec
from tf_efficientbert.architecture.expression import parse, width_error, with_linear_name
from tf_efficientbert.layers.formula import evaluate

_HIDDEN = 12
# channel_mismatch -> inner width at ratio 1, in the proportions of the published networks.
_FFN_WIDTHS = {"slice": 12, "pad": 48}


def _values(width):
    draws = np.random.default_rng(5)

    def drawn(*shape):
        return draws.normal(size=shape).astype("float32")

    x = drawn(2, 3, _HIDDEN)
    wb1 = drawn(_HIDDEN, width) / 3, drawn(width)
    wb2 = drawn(width, _HIDDEN) / 3, drawn(_HIDDEN)
    return x, wb1, wb2


def _both(cell, channel_mismatch, exact_gelu=False):
    """The library's value and that of the float64 numpy reference."""
    x, wb1, wb2 = _values(cell.inner_width(_FFN_WIDTHS[channel_mismatch]))
    maps = {"wb1": wb1, "wb2": wb2}
    ours = evaluate(cell.formula, x, maps, channel_mismatch, exact_gelu)
    doubles = [tuple(part.astype(float) for part in wb) for wb in (wb1, wb2)]
    gelu = gelu_exact if exact_gelu else gelu_tanh
    text = str(cell.formula)
    return ours, evaluate_formula(text, x.astype(float), *doubles, channel_mismatch, gelu)


@pytest.mark.parametrize("channel_mismatch", ["slice", "pad"])
@given(formula=valid_formulas())
@settings(max_examples=60, suppress_health_check=[HealthCheck.filter_too_much])
def test_any_valid_formula_has_the_value_of_float64_numpy(channel_mismatch, formula):
    widths = _HIDDEN, _FFN_WIDTHS[channel_mismatch]
    assume(width_error(formula, channel_mismatch, *widths) is None)
    ours, expected = _both(CellSpec.from_text(str(formula)), channel_mismatch)
    # Nested products can be large, so the tolerance is relative to the largest value.
    np.testing.assert_allclose(
        ours, expected, rtol=1e-4, atol=1e-5 * max(1, np.abs(expected).max())
    )


@pytest.mark.parametrize("operator", ["add", "mul", "max"])
@pytest.mark.parametrize("sides", ["linear1_3(x,wb1),x", "x,linear1_3(x,wb1)"])
@pytest.mark.parametrize("channel_mismatch", ["slice", "pad"])
def test_sides_of_different_width_are_sliced_or_padded(operator, sides, channel_mismatch):
    cell = CellSpec.from_text(f"linear1_3({operator}({sides}),wb2)")
    ours, expected = _both(cell, channel_mismatch)
    np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_max_is_padded_with_the_reference_s_value():
    x = np.full((1, 4), -3.0, "float32")
    maps = {"wb1": (np.zeros((4, 2), "float32"), np.full(2, -7.0, "float32"))}
    formula = with_linear_name(parse("max(linear1_1(x,wb1),x)"), "linear")
    value = evaluate(formula, x, maps, "pad", False)
    assert value.numpy().tolist() == [[-3.0, -3.0, np.float32(-1e-10), np.float32(-1e-10)]]


@pytest.mark.parametrize(
    ("name", "at_minus_2", "at_3"),
    [
        ("relu", 0.0, 3.0),
        ("leaky_relu", -0.02, 3.0),  # slope 0.01
        ("elu", -0.8646647, 3.0),  # exp(-2) - 1, alpha 1.0
        ("tanh", -0.9640276, 0.9950548),
        ("sigmoid", 0.1192029, 0.9525741),
        ("swish", -0.2384058, 2.8577224),
        ("gelu", -0.0454023, 2.9963627),  # by the tanh approximation
    ],
)
def test_activations_have_their_known_values(name, at_minus_2, at_3):
    value = evaluate(parse(f"{name}(x)"), np.array([-2.0, 3.0], "float32"), {}, "slice", False)
    np.testing.assert_allclose(value, [at_minus_2, at_3], rtol=1e-5)


def test_exact_gelu_uses_the_error_function():
    x = np.linspace(-5, 5, 101, dtype="float32")
    exact = evaluate(parse("gelu(x)"), x, {}, "slice", True)
    by_tanh = evaluate(parse("gelu(x)"), x, {}, "slice", False)
    np.testing.assert_allclose(exact, gelu_exact(x.astype(float)), atol=1e-6)
    np.testing.assert_allclose(by_tanh, gelu_tanh(x.astype(float)), atol=1e-6)
    assert np.abs(exact - by_tanh).max() > 1e-4


def test_exact_gelu_applies_anywhere_in_the_formula():
    cell = CellSpec.from_text("linear1_2(gelu(linear1_2(add(x,gelu(x)),wb1)),wb2)")
    ours, expected = _both(cell, "slice", exact_gelu=True)
    np.testing.assert_allclose(ours, expected, atol=1e-5)
