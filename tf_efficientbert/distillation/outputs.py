"""Names of model outputs that distillation compares.

A name is a key of the outputs of `EfficientBert` or `TaskModel`. If the value is a list with one
tensor per layer, the layer follows: "hidden_states/0" is the embedding's output,
"attention_scores/0" belongs to the first layer.
"""

from collections.abc import Iterable, Mapping

__all__ = ["layer_output", "named_outputs", "output_of"]


def layer_output(key: str, layer: int) -> str:
    """Returns the name of one layer's output."""
    return f"{key}/{layer}"


def output_of(outputs: Mapping, name: str):
    """Returns the output with that name.

    Raises:
        KeyError, IndexError: the model has no such output.
    """
    key, _, layer = name.partition("/")
    return outputs[key][int(layer)] if layer else outputs[key]


def named_outputs(outputs: Mapping, names: Iterable[str]) -> dict:
    """Returns {name: tensor} of a model's outputs, see `output_of`."""
    return {name: output_of(outputs, name) for name in names}
