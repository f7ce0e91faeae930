"""Orders the inner units of feed-forward networks, so that slices start with the best ones."""

import numpy as np
from keras import ops

from tf_efficientbert.data.batching import EncodedExamples, evaluation_batches
from tf_efficientbert.layers.formula import evaluate
from tf_efficientbert.layers.self_attention import attention_bias
from tf_efficientbert.models.efficientbert import EfficientBert

__all__ = ["sort_inner_units"]

_BATCH = 32


def sort_inner_units(supernet: EfficientBert, examples: EncodedExamples) -> None:
    """Sorts the inner units of every feed-forward network, the most important ones first.

    A slice takes the first units. The whole network computes what it did before. A unit's
    importance is the size of its contribution: the root mean square of its activation over the
    real tokens, times the norm of its row of W2. After the network rewiring of Hou et al.,
    DynaBERT (NeurIPS 2020), who estimate importance from gradients.

    Args:
        supernet: of ordinary cells, whose units do not depend on one another.
        examples: text to measure activations on.
    """
    squares = {}
    for _, batch in evaluation_batches(examples, _BATCH):
        real = batch["padding_mask"].reshape(-1).astype(bool)
        for feed_forward, units in _inner_units(supernet, batch):
            sums = np.square(units[real], dtype=np.float64).sum(axis=0)
            squares[feed_forward] = squares.get(feed_forward, 0) + sums
    for feed_forward, sums in squares.items():
        kernel_1, bias_1, kernel_2 = (
            ops.convert_to_numpy(weight)
            for weight in (feed_forward.kernel_1, feed_forward.bias_1, feed_forward.kernel_2)
        )
        order = np.argsort(-np.sqrt(sums) * np.linalg.norm(kernel_2, axis=1), kind="stable")
        feed_forward.kernel_1.assign(kernel_1[:, order])
        feed_forward.bias_1.assign(bias_1[order])
        feed_forward.kernel_2.assign(kernel_2[order])


def _inner_units(supernet: EfficientBert, batch):
    """Yields each feed-forward network with what it multiplies by W2, [batch * tokens, units]."""
    bias = attention_bias(batch["padding_mask"])
    x = supernet.embedding(batch["token_ids"], batch["segment_ids"])
    x = ops.reshape(x, (-1, supernet.architecture.hidden_size))
    for attention, cell in zip(supernet.attentions, supernet.cells, strict=True):
        x, *_ = attention(x, bias)
        inner = cell.cell.formula.arguments[0]
        for feed_forward in cell.feed_forwards:
            weights = {"wb1": (feed_forward.kernel_1, feed_forward.bias_1)}
            units = evaluate(inner, x, weights, cell.channel_mismatch, feed_forward.exact_gelu)
            yield feed_forward, ops.convert_to_numpy(ops.cast(units, "float32"))
            x = feed_forward(x, formula=cell.cell.formula)
