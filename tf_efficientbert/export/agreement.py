"""Limits on the difference between exported forms and the Keras model."""

import dataclasses
from collections.abc import Mapping

from tf_efficientbert.errors import UserError


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits on the difference from the Keras model.

    Attributes:
        max_float_difference: largest difference of any output of a float32 form.
        max_float16_difference: the same for forms with float16 weights.
        max_int8_loss: points (hundredths of the score) that int8 may lose.
    """

    max_float_difference: float
    max_float16_difference: float
    max_int8_loss: float


def require_agreement(
    forms: Mapping[str, Mapping[str, float]],
    metric: str,
    limits: Limits,
) -> None:
    """Raises UserError if a form of a `parity` report exceeds its limit.

    Args:
        forms: figures by form, see `parity`.
        metric: the score that limits int8, a share.
        limits: the limits.
    """
    faults = []
    for form, figures in forms.items():
        if "not_finite" in figures:
            faults.append(f"{form} gives NaN or infinity for {figures['not_finite']} texts")
            continue
        # A form's name contains its precision; without one it is float32. int4 has no limit.
        if "int8" in form:
            loss = 100 * (forms["keras"][metric] - figures[metric])
            if loss > limits.max_int8_loss:
                faults.append(
                    f"{form} loses {loss:.2f} points of {metric}, more than "
                    f"--max_int8_loss={limits.max_int8_loss:g}"
                )
        elif "int4" not in form:
            flag = "max_float16_difference" if "float16" in form else "max_float_difference"
            difference, limit = figures["max_difference"], getattr(limits, flag)
            if difference > limit:
                faults.append(
                    f"{form} differs from Keras by {difference:.2g}, more than --{flag}={limit:g}"
                )
    if faults:
        raise UserError(f"the exported forms differ from the Keras model: {'; '.join(faults)}")
