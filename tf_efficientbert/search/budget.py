"""Bounds on the number of parameters of a candidate."""

from dataclasses import dataclass

from tf_efficientbert.architecture import Architecture


@dataclass(frozen=True)
class Budget:
    """Inclusive bounds on a candidate's parameters (Dong et al. 2021, arXiv 2109.07222).

    Args:
        minimum: fewest parameters.
        maximum: most parameters; the paper uses 15 to 16 million.
        fit_size: the teacher's hidden size, to count the fit projection; None leaves it out.
        vocabulary_size: rows of the token table.
        max_positions: rows of the position table.

    Raises:
        ValueError: a bound is negative, or minimum is above maximum.
    """

    minimum: int
    maximum: int
    fit_size: int | None
    vocabulary_size: int
    max_positions: int

    def __post_init__(self) -> None:
        for name in ("minimum", "maximum"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.minimum > self.maximum:
            raise ValueError(f"minimum ({self.minimum}) must not be above maximum ({self.maximum})")

    def parameters(self, architecture: Architecture) -> int:
        """Returns the number of parameters without the task head."""
        return architecture.count_parameters(
            self.fit_size, self.vocabulary_size, self.max_positions
        )

    def holds(self, architecture: Architecture) -> bool:
        """Returns whether an architecture's parameters lie within the bounds."""
        return self.minimum <= self.parameters(architecture) <= self.maximum
