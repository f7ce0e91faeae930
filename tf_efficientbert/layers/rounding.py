"""Points of a network at which training can round numbers as an exported model does."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator


class RoundingPoint:
    """A point at which layers call it on a tensor; it returns the tensor, or a rounded one.

    Args:
        name: of the point, for messages.
    """

    def __init__(self, name: str):
        self._function: contextvars.ContextVar[Callable | None] = contextvars.ContextVar(
            name, default=None
        )

    @contextlib.contextmanager
    def by(self, rounding: Callable) -> Iterator[None]:
        """Within the block, `rounding(x)` takes the place of every tensor x."""
        token = self._function.set(rounding)
        try:
            yield
        finally:
            self._function.reset(token)

    def __call__(self, x):
        rounding = self._function.get()
        return x if rounding is None else rounding(x)
