"""Layer dropping."""

import dataclasses

import numpy as np
from keras import ops

from tf_efficientbert.data.batching import MODEL_INPUTS, EncodedExamples, evaluation_batches
from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.models.task_model import TaskModel

_BATCH = 16


def without_layers(model: TaskModel, dropped: tuple[int, ...]) -> TaskModel:
    """Returns the model without the layers `dropped` (from 0); the others keep their weights."""
    full = model.backbone
    kept = [i for i in range(full.architecture.num_layers) if i not in dropped]
    architecture = dataclasses.replace(
        full.architecture, cells=tuple(full.architecture.cells[i] for i in kept)
    )
    config = {**full.get_config(), "architecture": architecture, "name": "efficient_bert"}
    small = EfficientBert.from_config(config)
    pairs = [(small.embedding, full.embedding)]
    for i, old in enumerate(kept):
        pairs += [(small.attentions[i], full.attentions[old]), (small.cells[i], full.cells[old])]
    if small.fit_projection:
        pairs.append((small.fit_projection, full.fit_projection))
    for target, source in pairs:
        target.set_weights(source.get_weights())
    return model.with_backbone(small)


def layer_influence(backbone: EfficientBert, examples: EncodedExamples) -> np.ndarray:
    """Measures each layer's influence: the mean over real tokens of 1 - cos(input, output).

    Men et al. 2024, ShortGPT (arXiv 2403.03853), equation 1.
    """
    total = np.zeros(backbone.architecture.num_layers)
    for _, batch in evaluation_batches(examples, _BATCH):
        states = backbone({name: batch[name] for name in MODEL_INPUTS})["hidden_states"]
        states = [ops.normalize(ops.cast(state, "float32"), axis=-1) for state in states]
        mask = batch["padding_mask"]
        for i, (before, after) in enumerate(zip(states, states[1:], strict=False)):
            total[i] += np.sum(mask * (1 - np.asarray(ops.sum(before * after, axis=-1))))
    return total / examples.lengths.sum()
