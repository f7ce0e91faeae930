"""What an exported form may differ from the Keras model by, and still be delivered."""

import dataclasses
from collections.abc import Mapping

from tf_efficientbert.errors import UserError


@dataclasses.dataclass(frozen=True)
class Limits:
    """What forms may differ by.

    Attributes:
        max_float_difference: the largest difference of a number, of forms that are not quantized.
        max_int8_loss: points, hundredths of the score, that int8 may lose.
    """

    max_float_difference: float
    max_int8_loss: float


_QUANTIZED = ("int8", "int4")  # a form says so in its name


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
        difference = figures["max_difference"]
        loss = 100 * (forms["keras"][metric] - figures[metric])
        if "int8" in form and loss > limits.max_int8_loss:
            faults.append(
                f"{form} loses {loss:.2f} points of {metric}, more than "
                f"--max_int8_loss={limits.max_int8_loss:g}"
            )
        is_float = not any(word in form for word in _QUANTIZED)
        if is_float and difference > limits.max_float_difference:
            faults.append(
                f"{form} differs from Keras by {difference:.2g}, more than "
                f"--max_float_difference={limits.max_float_difference:g}"
            )
    if faults:
        raise UserError(f"the exported forms do not agree: {'; '.join(faults)}")
