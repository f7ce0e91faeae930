"""What an exported form may differ from the Keras model by, and still be delivered."""

import dataclasses
from collections.abc import Mapping

from tf_efficientbert.errors import UserError


@dataclasses.dataclass(frozen=True)
class Limits:
    """What forms may differ by.

    Attributes:
        max_float_difference: the largest difference of a number, of forms in float32.
        max_float16_difference: the same, of forms whose weights are rounded to float16.
        max_int8_loss: points, hundredths of the score, that int8 may lose.
    """

    max_float_difference: float
    max_float16_difference: float
    max_int8_loss: float


def require_agreement(
    forms: Mapping[str, Mapping[str, float]],
    metric: str,
    limits: Limits,
) -> None:
    """Raises UserError where a form of a `parity` report strays too far from the Keras model.

    Args:
        forms: see `parity`.
        metric: the score that int8 is held to, a share.
        limits: what they may differ by.
    """
    faults = []
    for form, figures in forms.items():
        if "not_finite" in figures:
            faults.append(f"{form} answers {figures['not_finite']} texts with NaN or infinity")
            continue
        # A form's name says its precision; one that says none is in float32, int4 is held to none.
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
        raise UserError(f"the exported forms do not agree: {'; '.join(faults)}")
