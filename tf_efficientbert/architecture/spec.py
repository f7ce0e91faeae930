"""A whole network as data.

All code that builds, counts, slices, searches or exports a network reads an `Architecture`.
"""

import json
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, replace

from tf_efficientbert.architecture import cost
from tf_efficientbert.architecture.cell import CellSpec
from tf_efficientbert.architecture.expression import (
    CHANNEL_MISMATCHES,
    STACKS,
    FormulaError,
    width_error,
)
from tf_efficientbert.architecture.presets import PRESETS

EMBEDDINGS = ("trigram", "bert")
_SIZES = ("hidden_size", "ffn_width", "num_heads", "embedding_size")


class ArchitectureError(ValueError):
    """A network description that cannot be built."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A BERT-like encoder: an embedding, then layers of self-attention and a feed-forward cell.

    Describes students, supernets and teachers (Dong et al. 2021, arXiv 2109.07222).

    Args:
        hidden_size: d, the width between layers.
        ffn_width: the inner width of an FFN at ratio 1.
        num_heads: attention heads; divides hidden_size.
        embedding_size: width of the token table; replaced by hidden_size for embedding="bert".
        embedding: "trigram" (next, current and previous token through a Dense layer) or "bert".
        channel_mismatch: how add, mul and max treat sides of different width, "slice" or "pad".
        cells: one per layer, first to last.

    Raises:
        ArchitectureError: a size, name or cell is invalid; the message names the layer.
    """

    hidden_size: int
    ffn_width: int
    num_heads: int
    embedding_size: int
    embedding: str = "trigram"
    channel_mismatch: str = "slice"
    cells: tuple[CellSpec, ...]

    def __post_init__(self) -> None:
        if self.embedding == "bert":
            object.__setattr__(self, "embedding_size", self.hidden_size)
        object.__setattr__(self, "cells", tuple(self.cells))
        self._check_sizes()
        self._check_cells()

    def _check_sizes(self) -> None:
        for name in _SIZES:
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ArchitectureError(f"{name} must be a positive integer, got {value!r}")
        if self.hidden_size % self.num_heads:
            raise ArchitectureError(
                f"hidden_size ({self.hidden_size}) must be a multiple of num_heads "
                f"({self.num_heads})"
            )
        for name, known in (("embedding", EMBEDDINGS), ("channel_mismatch", CHANNEL_MISMATCHES)):
            if getattr(self, name) not in known:
                raise ArchitectureError(
                    f"{name} must be one of {known}, got {getattr(self, name)!r}"
                )

    def _check_cells(self) -> None:
        if not self.cells:
            raise ArchitectureError("an architecture needs at least one cell, got none")
        for layer, cell in enumerate(self.cells, start=1):
            if not isinstance(cell, CellSpec):
                raise ArchitectureError(
                    f"layer {layer} of {self.num_layers}: expected a CellSpec, got {cell!r}"
                )
            problem = width_error(
                cell.expression, self.channel_mismatch, self.hidden_size, self.ffn_width
            )
            if problem:
                raise ArchitectureError(
                    f"layer {layer} of {self.num_layers}: {cell} does not fit hidden_size "
                    f"{self.hidden_size} and ffn_width {self.ffn_width} under channel_mismatch "
                    f"{self.channel_mismatch!r}: {problem}"
                )

    @classmethod
    def from_preset(cls, name: str) -> "Architecture":
        """Returns one of the published architectures by name.

        Raises:
            ArchitectureError: the name is unknown; the message lists the known ones.
        """
        if name not in PRESETS:
            raise ArchitectureError(f"unknown preset {name!r}; known are {', '.join(PRESETS)}")
        return cls.from_formulas(**PRESETS[name])

    @classmethod
    def from_formulas(
        cls,
        formulas: Sequence[str],
        hidden_size: int = 540,
        ffn_width: int = 540,
        num_heads: int = 12,
        embedding_size: int = 128,
        embedding: str = "trigram",
        channel_mismatch: str = "slice",
    ) -> "Architecture":
        """Makes an architecture from formulas in the paper's text form, one per layer in order.

        Raises:
            ArchitectureError: a formula (the message names its layer) or another value is invalid.
        """
        if isinstance(formulas, str) or not isinstance(formulas, Sequence):
            raise ArchitectureError(f"formulas must be a list, one per layer, got {formulas!r}")
        cells = []
        for layer, text in enumerate(formulas, start=1):
            try:
                cells.append(CellSpec.from_text(text))
            except FormulaError as error:
                raise ArchitectureError(f"layer {layer} of {len(formulas)}: {error}") from error
        return cls(
            hidden_size=hidden_size,
            ffn_width=ffn_width,
            num_heads=num_heads,
            embedding_size=embedding_size,
            embedding=embedding,
            channel_mismatch=channel_mismatch,
            cells=tuple(cells),
        )

    @classmethod
    def from_json(cls, text: str) -> "Architecture":
        """Reads the text of `to_json`, also of an earlier version.

        Raises:
            ArchitectureError: the text is not a JSON object, a key is missing or unknown, or a
                value is invalid.
        """
        try:
            given = json.loads(text)
        except json.JSONDecodeError as error:
            raise ArchitectureError(f"an architecture's JSON cannot be read: {error}") from error
        if not isinstance(given, dict):
            raise ArchitectureError(
                f"an architecture's JSON must be an object, got {type(given).__name__}"
            )
        known = {field.name for field in fields(cls)} - {"cells"} | {"formulas"}
        # So has a field that is newer than a file: what networks were before.
        optional = {field.name for field in fields(cls) if field.default is not MISSING}
        for kind, keys in (
            ("misses", known - optional - set(given)),
            ("has unknown", set(given) - known),
        ):
            if keys:
                raise ArchitectureError(f"an architecture's JSON {kind} {', '.join(sorted(keys))}")
        return cls.from_formulas(**given)

    def to_json(self) -> str:
        """Returns indented JSON with formulas in the paper's text form, for `from_json`."""
        described = {field.name: getattr(self, field.name) for field in fields(self)}
        del described["cells"]
        return json.dumps({**described, "formulas": self.formulas}, indent=2)

    @property
    def num_layers(self) -> int:
        """Number of layers, each of one self-attention and one FFN cell."""
        return len(self.cells)

    @property
    def formulas(self) -> tuple[str, ...]:
        """Each layer's cell in the paper's text form, first to last."""
        return tuple(map(str, self.cells))

    def canonical(self) -> "Architecture":
        """Returns the network with cells in canonical form; equal networks give equal results."""
        return replace(self, cells=tuple(cell.canonical() for cell in self.cells))

    def with_ordinary_cells(self) -> "Architecture":
        """Returns the network with the ordinary formula in each cell; stacks and ratios stay."""
        return replace(
            self, cells=tuple(CellSpec.ordinary(cell.stack, cell.ratio) for cell in self.cells)
        )

    def supernet(self) -> "Architecture":
        """Returns the supernet for this network: 4 ordinary FFNs at ratio 1 per layer."""
        return replace(self, cells=(CellSpec.ordinary(stack=max(STACKS)),) * self.num_layers)

    def count_parameters(
        self,
        fit_size: int | None = 768,
        vocabulary_size: int = 30522,
        max_positions: int = 512,
    ) -> int:
        """Number of trainable parameters, without the task head and its pooler.

        Args:
            fit_size: the teacher's hidden size. None or 0 leaves out the fit projection, which an
                exported network does not have.
            vocabulary_size: rows of the token table.
            max_positions: rows of the position table.
        """
        hidden = self.hidden_size
        parameters = cost.embedding_parameters(
            self.embedding, self.embedding_size, hidden, vocabulary_size, max_positions
        )
        for cell in self.cells:
            inner = cell.inner_width(self.ffn_width)
            parameters += cost.attention_parameters(hidden)
            parameters += cell.stack * cost.ffn_parameters(hidden, inner)
        return parameters + (cost.dense_parameters(hidden, fit_size) if fit_size else 0)

    def count_macs(self, sequence_length: int = 128) -> int:
        """Number of multiply-adds for one sequence of `sequence_length` tokens.

        Counts linear maps and the attention products q.k and p.v. Leaves out the fit projection,
        pooler and head, and elementwise operations such as a formula's mul.
        """
        hidden = self.hidden_size
        per_token = cost.embedding_macs(self.embedding, self.embedding_size, hidden)
        for cell in self.cells:
            per_token += cost.attention_macs(hidden, sequence_length)
            per_token += cell.stack * cost.ffn_macs(hidden, cell.inner_width(self.ffn_width))
        return sequence_length * per_token
