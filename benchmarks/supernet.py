"""Measures how well supernets follow their teacher on text that they were not trained on.

    python -m benchmarks.supernet --supernets=pretrained,runs/supernet/model --text=held_out.txt

Prints the hidden loss (mean squared error of the hidden states of real tokens, projected to the
teacher's width, summed over the embedding and all layers) of single sentences and of packed pairs
of 128 tokens; of pairs also apart for the first 64 positions and the others.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from tf_efficientbert.command import run_command
from tf_efficientbert.data.batching import EncodedExamples, evaluation_batches
from tf_efficientbert.data.corpus import encoded_corpus
from tf_efficientbert.distillation.layer_map import layer_map
from tf_efficientbert.distillation.text_teacher import check_text_teacher
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.models.pretrained_supernet import PRETRAINED, load_supernet
from tf_efficientbert.models.teacher import find_teacher, load_teacher
from tf_efficientbert.options import option
from tf_efficientbert.training.options import make_deterministic

_TOKENS, _HALF, _BATCH = 128, 64, 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class SupernetOptions:
    """Options of the benchmark."""

    supernets: str = option(PRETRAINED, "folders or pretrained, separated by commas")
    text: str = option("", "text files a,b,c, a paragraph a line")
    sentences: int = option(2000, "sentences of it, evenly spaced")
    teacher_dir: str = option("", "the teacher; empty for MiniLM")


def measure(options: SupernetOptions) -> None:
    """Prints a row for each supernet."""
    if not options.text:
        raise UserError("--text is missing: name text that no supernet was trained on")
    make_deterministic()
    teacher = load_teacher(find_teacher(options.teacher_dir)).backbone
    print("| supernet | sentences | pairs | pairs, to position 64 | after it |")
    print("| --- | --- | --- | --- | --- |")
    for name in options.supernets.split(","):
        supernet = load_supernet(name)
        check_text_teacher(options.teacher_dir, _TOKENS, supernet, True)
        figures = []
        for pairs in (False, True):
            text = encoded_corpus(
                options.text, options.sentences, _TOKENS, supernet.tokenizer, pairs
            )
            errors = np.concatenate(list(_errors(teacher, supernet.backbone, text)))
            figures.append(errors[:, 1].mean())
        late = errors[:, 0] >= _HALF
        figures += [errors[~late, 1].mean(), errors[late, 1].mean()]
        print(f"| {name} | {' | '.join(f'{figure:.4f}' for figure in figures)} |")


def _errors(
    teacher: EfficientBert, supernet: EfficientBert, text: EncodedExamples
) -> Iterator[np.ndarray]:
    """Yields [real tokens, 2] of each batch: positions, and errors summed over the layers."""
    layers = layer_map(teacher.architecture.num_layers, supernet.architecture.num_layers)
    for _, batch in evaluation_batches(text, _BATCH):
        theirs, ours = (model(batch)["hidden_states"] for model in (teacher, supernet))
        pairs = [(theirs[0], ours[0])]
        pairs += [(theirs[i + 1], own) for i, own in zip(layers, ours[1:], strict=True)]
        error = sum(np.mean((np.asarray(a) - np.asarray(b)) ** 2, axis=-1) for a, b in pairs)
        real = batch["padding_mask"].astype(bool)
        yield np.stack([np.nonzero(real)[1], error[real]], axis=1)


if __name__ == "__main__":
    run_command(SupernetOptions, measure)
