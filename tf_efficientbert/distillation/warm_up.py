"""Warm-up: distils the supernet, from which candidates and students inherit, on raw text."""

import dataclasses
import logging

import keras
import numpy as np
import tensorflow as tf
from threadpoolctl import threadpool_limits

from tf_efficientbert.architecture import Architecture, CellSpec
from tf_efficientbert.architecture.expression import RATIO_DENOMINATORS, STACKS
from tf_efficientbert.data.batching import EncodedExamples, TrainingBatches
from tf_efficientbert.data.corpus import encoded_corpus
from tf_efficientbert.data.corpus_options import CorpusOptions
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.distillation.recipe_options import TextRecipeOptions
from tf_efficientbert.distillation.text_teacher import check_text_teacher
from tf_efficientbert.distillation.unit_order import sort_inner_units
from tf_efficientbert.errors import UserError
from tf_efficientbert.layers.dropout import fold_in
from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.models.pretrained_supernet import (
    load_supernet,
    require_supernet,
    supernet_option,
)
from tf_efficientbert.models.teacher import find_teacher, load_teacher
from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.options import input_option, option
from tf_efficientbert.training.fit import fit
from tf_efficientbert.training.options import TrainingOptions, make_deterministic
from tf_efficientbert.training.run_directory import open_run_directory
from tf_efficientbert.training.strategy import make_strategy

_log = logging.getLogger(__name__)

_SORTED_BY = 256  # examples; more give nearly the same order
_SIZES = ("hidden_size", "ffn_width", "num_layers", "num_heads", "embedding_size")


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmUpOptions(CorpusOptions, TrainingOptions, TextRecipeOptions):
    """Options of `warm_up`; the defaults are the paper's, except the supernet's width."""

    output_dir: str = option("", "output folder; run again with it to resume")
    teacher_dir: str = input_option("", "a BERT's folder, bge-small, or minilm (also if empty)")
    supernet: str = supernet_option(
        "", "continue with this supernet, of its sizes: a folder, or pretrained; empty: a new one"
    )
    hidden_size: int = option(540, "hidden size of the supernet")
    ffn_width: int = option(0, "inner width of the feed-forward networks; 0: hidden_size")
    num_layers: int = option(6, "layers")
    num_heads: int = option(12, "attention heads; as many as the teacher's for the attention loss")
    embedding_size: int = option(128, "width of the token embedding")
    sliced_share: float = option(
        0.0,
        "share of the steps that train a random slice instead of the whole supernet",
    )
    sort_units: bool = option(
        False,
        "first sort the inner units of --supernet by importance; for one whose slices have not "
        "been trained",
    )
    epochs: float = option(10.0, "epochs over the text; may be a fraction")
    learning_rate: float = option(1e-4, "peak learning rate (linear warm-up and decay)")
    batch_size: int = option(64, "examples per step, over all replicas")

    def __post_init__(self) -> None:
        TrainingOptions.__post_init__(self)
        TextRecipeOptions.__post_init__(self)
        CorpusOptions.__post_init__(self)
        self.resolved_recipe.require_text_losses("--recipe")
        if not 0 <= self.sliced_share <= 1:
            raise UserError(f"--sliced_share={self.sliced_share}: expected a number from 0 to 1")
        if self.sort_units and not self.supernet:
            raise UserError("--sort_units needs --supernet: the units of a new one are random")

    def architecture(self) -> Architecture:
        """Returns the supernet's architecture; raises UserError if the sizes are invalid."""
        try:
            return Architecture(
                hidden_size=self.hidden_size,
                ffn_width=self.ffn_width or self.hidden_size,
                num_heads=self.num_heads,
                embedding_size=self.embedding_size,
                embedding="trigram",
                channel_mismatch="slice",
                cells=(CellSpec.ordinary(),) * self.num_layers,
            ).supernet()
        except ValueError as error:
            raise UserError(f"the flags for the supernet are invalid: {error}") from error


def warm_up(options: WarmUpOptions) -> dict:
    """Distils the supernet and saves it with its fit projection under `output_dir`/model.

    Dong et al. 2021, section 3.3: attention and hidden losses against the teacher before
    fine-tuning. The token table starts as the teacher's, projected on its principal components.

    Returns: {"loss": float, "parameters": int, "seconds": float}. A finished run returns its result
        again; an interrupted one resumes.

    Raises:
        UserError: a flag or file is invalid.
    """
    with open_run_directory(options) as run:
        if run.result:
            return run.result
        folder = find_teacher(options.teacher_dir)
        tokenizer = Tokenizer.from_folder(folder)
        examples = encoded_corpus(
            options.corpus,
            options.corpus_sentences,
            options.corpus_max_tokens,
            tokenizer,
            options.packs_pairs(),
        )
        make_deterministic()
        keras.utils.set_random_seed(options.seed)
        strategy = make_strategy(options.strategy)
        with strategy.scope():
            teacher = load_teacher(folder).backbone
            if options.supernet:
                supernet = _continued(options)
                if options.sort_units:
                    sort_inner_units(supernet, _evenly_spaced(examples))
                supernet = supernet.rebuilt(dropout=options.dropout, dtype=options.dtype)
            else:
                supernet = EfficientBert(
                    options.architecture(),
                    vocabulary_size=teacher.vocabulary_size,
                    max_positions=teacher.max_positions,
                    fit_size=teacher.architecture.hidden_size,
                    dropout=options.dropout,
                    dtype=options.dtype,
                )
                inherit_token_table(supernet, teacher)
            teacher = teacher.rebuilt(dtype=options.frozen_dtype)
        finished = TextModel(supernet, tokenizer, None, options.corpus_max_tokens)
        objective = options.resolved_recipe.objective(
            teacher.architecture, supernet.architecture, task=None
        )
        layers = supernet.architecture.num_layers

        def loss_fn(batch, seed):
            choices = drawn_choices(seed, layers, options.sliced_share)
            return objective.losses(teacher, supernet, batch, seed, choices)

        history = fit(
            model=supernet,
            loss_fn=loss_fn,
            batches=TrainingBatches(examples, options.batch_size, options.seed),
            options=options,
            strategy=strategy,
            run=run,
            phase="warm up supernet",
        )
        finished.save(run.path / "model")
        _log.info("supernet saved in %s", run.path / "model")
        result = {"loss": history[-1]["loss"], "parameters": supernet.count_params()}
        return run.finish(result, {"warm-up": history})


def _evenly_spaced(examples: EncodedExamples) -> EncodedExamples:
    """Returns at most `_SORTED_BY` of the examples."""
    return examples.take(
        np.linspace(0, len(examples) - 1, min(len(examples), _SORTED_BY)).astype(int)
    )


def _continued(options: WarmUpOptions) -> EfficientBert:
    """Returns the supernet of --supernet, checked against the teacher and the flags."""
    supernet, origin = load_supernet(options.supernet), f"--supernet={options.supernet}"
    require_supernet(supernet, origin)
    check_text_teacher(options.teacher_dir, options.corpus_max_tokens, supernet, True)
    found = supernet.backbone.architecture
    fields = {field.name: field.default for field in dataclasses.fields(options)}
    for name in _SIZES:
        given, has = getattr(options, name), getattr(found, name)
        if given not in (fields[name], has):
            raise UserError(f"--{name}={given}, but {origin} has {has}")
    return supernet.backbone


def drawn_choices(seed, layers: int, sliced_share: float):
    """Returns the slice that a step trains, int32 [layers, 2] (see `EfficientBert.call`).

    Either the whole supernet, or a slice whose stacks and ratios are drawn uniformly for each
    layer, so that what is cut out of it later has learned to work by itself. Yu and Huang,
    Universally Slimmable Networks (ICCV 2019), train the largest, the smallest and random networks
    in each step; here, steps cost as much as without slices.

    Args:
        seed: int32 [2], different for each step and, of several, each replica.
        sliced_share: probability of a slice; 0 returns None, the whole supernet.
    """
    if not sliced_share:
        return None

    def drawn(index: int, values: tuple[int, ...]):
        numbers = tf.random.stateless_uniform(
            [layers], fold_in(seed, index), 0, len(values), tf.int32
        )
        return tf.gather(tf.constant(values), numbers)

    a_slice = tf.stack([drawn(0, STACKS), drawn(1, RATIO_DENOMINATORS)], axis=1)
    whole = tf.constant([[max(STACKS), min(RATIO_DENOMINATORS)]] * layers)
    slices = tf.random.stateless_uniform([], fold_in(seed, 2)) < sliced_share
    return tf.where(slices, a_slice, whole)


def inherit_token_table(student: EfficientBert, teacher: EfficientBert) -> None:
    """Initializes the token table by projecting the teacher's on its principal components.

    The [PAD] row stays zero.

    Raises:
        UserError: the student's table is wider than the teacher's.
    """
    table = np.asarray(teacher.embedding.token_table)
    width = student.architecture.embedding_size
    if width > table.shape[1]:
        raise UserError(f"--embedding_size={width} is wider than the teacher's {table.shape[1]}")
    # One thread: OpenBLAS's order of summation depends on the number of threads, and a resumed
    # process may have another number. Exact resume needs the same bits.
    with threadpool_limits(1, "blas"):
        centred = table - table.mean(axis=0)
        _, components = np.linalg.eigh(centred.T @ centred)  # ascending
        projected = table @ components[:, ::-1][:, :width]
    projected[0] = 0
    student.embedding.token_table.assign(projected)
