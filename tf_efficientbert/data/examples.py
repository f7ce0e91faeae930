"""The examples of one set: texts, labels and ids."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Examples"]


@dataclass(frozen=True, eq=False)
class Examples:
    """The examples of one set, in file order.

    Args:
        texts: the (first) texts.
        second_texts: the second texts of a pair task, else None.
        labels: shape [examples, ...]; the targets, see `LabelledTask.targets`; None if the set
            has no labels.
        ids: the examples' ids in their file, or None.

    Raises:
        ValueError: the parts differ in length.
    """

    texts: tuple[str, ...]
    second_texts: tuple[str, ...] | None
    labels: np.ndarray | None
    ids: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for part in ("second_texts", "labels", "ids"):
            values = getattr(self, part)
            if values is not None and len(values) != len(self.texts):
                raise ValueError(f"there are {len(self.texts)} texts but {len(values)} {part}")

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def columns(self) -> tuple[tuple[str, ...], ...]:
        """The texts and, for pairs, the second texts."""
        return tuple(part for part in (self.texts, self.second_texts) if part is not None)

    def take(self, indices: np.ndarray) -> "Examples":
        """Returns the examples at `indices`, in that order."""
        return Examples(
            tuple(self.texts[i] for i in indices),
            None if self.second_texts is None else tuple(self.second_texts[i] for i in indices),
            None if self.labels is None else self.labels[indices],
            None if self.ids is None else tuple(self.ids[i] for i in indices),
        )

    def first(self, count: int) -> "Examples":
        """Returns the first `count` examples, or all if there are fewer."""
        return self.take(np.arange(min(count, len(self))))
