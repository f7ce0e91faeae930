"""Resolves the value of `--architecture`."""

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.architecture.presets import PRESETS
from tf_efficientbert.data.text_file import read_lines
from tf_efficientbert.errors import UserError


def resolve_architecture(name: str, supernet: Architecture) -> Architecture:
    """Returns the architecture called `name`.

    Args:
        name: "published" or "plain" (the paper's six cells, or ordinary ones of the same size, with
            the supernet's width), a preset's name, or a JSON file.
        supernet: the network from which the student inherits.

    Raises:
        UserError: the preset or file does not exist, or the file is not a valid architecture.
    """
    published = PRESETS["efficientbert"]["formulas"]
    try:
        if name in ("published", "plain"):
            times, rest = divmod(supernet.num_layers, len(published))
            if rest:
                raise UserError(
                    f"--architecture={name} needs a supernet with a multiple of 6 layers, "
                    f"this one has {supernet.num_layers}"
                )
            formulas = [formula for formula in published for _ in range(times)]
            sizes = ("hidden_size", "ffn_width", "num_heads", "embedding_size", "embedding")
            architecture = Architecture.from_formulas(
                formulas, **{size: getattr(supernet, size) for size in sizes}
            )
            return architecture if name == "published" else architecture.with_ordinary_cells()
        if name in PRESETS:
            return Architecture.from_preset(name)
        if not name.endswith(".json"):
            known = ", ".join(["published", "plain", *PRESETS])
            raise UserError(f"--architecture={name}: expected {known} or a .json file")
        return Architecture.from_json("\n".join(line for _, line in read_lines(name)))
    except ValueError as error:
        raise UserError(f"--architecture={name}: {error}") from error
