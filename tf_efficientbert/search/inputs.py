"""Reads the data, models and corpus of a search."""

import dataclasses
from pathlib import Path

import numpy as np

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.data.batching import encode
from tf_efficientbert.data.corpus import encoded_corpus
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.task_data import TaskData
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.data.unlabelled import read_unlabelled
from tf_efficientbert.distillation.objective import Objective
from tf_efficientbert.distillation.task_teacher import (
    check_width,
    labelled_by,
    load_task_teacher,
)
from tf_efficientbert.distillation.teacher_pass import PredictionsAlone, TeacherPass
from tf_efficientbert.distillation.teacher_predictions import read_predictions, with_predictions
from tf_efficientbert.distillation.text_teacher import check_text_teacher
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.models.pretrained_supernet import load_supernet
from tf_efficientbert.models.teacher import find_teacher, load_teacher
from tf_efficientbert.models.text_model import TextModel, load
from tf_efficientbert.search.context import SearchContext
from tf_efficientbert.search.examples import SearchExamples
from tf_efficientbert.search.options import SearchOptions
from tf_efficientbert.tasks import LabelledTask
from tf_efficientbert.training.options import make_deterministic

__all__ = ["SearchInputs", "read_inputs"]


@dataclasses.dataclass(frozen=True)
class SearchInputs:
    """Result of `read_inputs`.

    Attributes:
        context: shared by all stages; the weight-sharing stage replaces its supernet.
        shared_supernet: the supernet from which the weight-sharing stage starts.
        tokenizer: shared by all models.
    """

    context: SearchContext
    shared_supernet: EfficientBert
    tokenizer: Tokenizer


def read_inputs(options: SearchOptions) -> SearchInputs:
    """Reads and checks data, supernets, teachers and corpus.

    Raises:
        UserError: a flag or file is invalid, or two of them are inconsistent.
    """
    # Read all data first, so that a bad file fails before the slow steps.
    data = TaskData(options)
    task, train = data.task, data.load("train")
    options.require_fit(task)
    if len(train) < 2:
        raise UserError(f"{task.name}: a search needs 2 training examples, got {len(train)}")
    predictions = None
    if options.teacher_predictions:
        predictions = read_predictions(options.teacher_predictions, train, task)
    texts = None
    if options.unlabelled_file:
        texts = read_unlabelled(options.unlabelled_file, options.unlabelled_share, options, data)
    make_deterministic()
    supernet, origin = load_supernet(options.supernet), f"--supernet={options.supernet}"
    teacher = load_task_teacher(
        options.teacher, options.teacher_weights, task, options.max_tokens, supernet, origin
    )
    recipe = options.resolved_recipe
    if teacher and recipe.projects_hidden_states:
        check_width(teacher, options.teacher, supernet, origin)
    check_text_teacher(
        options.teacher_dir, options.corpus_max_tokens, supernet, recipe.projects_hidden_states
    )
    data.show_card(supernet.tokenizer)
    if options.max_tokens > supernet.backbone.max_positions:
        raise UserError(
            f"--max_tokens={options.max_tokens}: {origin} has only "
            f"{supernet.backbone.max_positions} positions"
        )
    examples = _examples(options, data, predictions, texts, teacher, supernet.tokenizer)
    shared_supernet = supernet.backbone
    if options.shared_supernet:
        shared_supernet = _load_shared(options.shared_supernet, supernet, origin)
    objective, text_teacher, task_teacher = _teachers(options, task, teacher, supernet)
    context = SearchContext(
        task=task,
        examples=examples,
        supernet=supernet.backbone,
        text_teacher=text_teacher,
        task_teacher=task_teacher,
        objective=objective,
        dropout=options.dropout,
        dtype=options.training.dtype,
        seed=options.seed,
        checkpoint_seconds=options.checkpoint_seconds,
        teacher_memory_gb=options.teacher_memory_gb,
        group_size=options.group_size,
        output_store=options.output_store,
    )
    return SearchInputs(context, shared_supernet, supernet.tokenizer)


def _examples(
    options: SearchOptions,
    data: TaskData,
    predictions: np.ndarray | None,
    unlabelled_texts: Examples | None,
    teacher: TextModel | None,
    tokenizer: Tokenizer,
) -> SearchExamples:
    """Returns the corpus, the training set and unlabelled texts as token ids."""
    train = data.load("train")
    encoded = encode(tokenizer, train.texts, train.second_texts, train.labels, options.max_tokens)
    for_distillation = encoded
    if predictions is not None:
        for_distillation = with_predictions(predictions, encoded, data.task)
    unlabelled = None
    if unlabelled_texts is not None:
        unlabelled = encode(tokenizer, *unlabelled_texts.columns, max_tokens=options.max_tokens)
        unlabelled = labelled_by(teacher, unlabelled)
    text = encoded_corpus(
        options.corpus,
        options.corpus_sentences,
        options.corpus_max_tokens,
        tokenizer,
        options.packs_pairs(data.task.pair),
    )
    return SearchExamples(
        text=text,
        train=encoded,
        for_distillation=for_distillation,
        task=data.task,
        seed=options.seed,
        unlabelled=unlabelled,
    )


def _teachers(
    options: SearchOptions, task: LabelledTask, teacher: TextModel | None, supernet: TextModel
) -> tuple[Objective, TeacherPass, TeacherPass | PredictionsAlone]:
    """Returns what candidates learn, from which teacher on text, and from which on the task."""
    folder, dtype = find_teacher(options.teacher_dir), options.training.frozen_dtype
    on_text = load_teacher(folder, dtype=dtype).backbone
    objective = options.resolved_recipe.objective(
        on_text.architecture, supernet.backbone.architecture, task
    )
    text_teacher = TeacherPass(on_text, objective.encoder_reads)
    if not teacher:
        return objective, text_teacher, PredictionsAlone(task)
    if objective.encoder_reads:
        _check_alike(on_text.architecture, folder, teacher, options.teacher)
    on_task = teacher.model.rebuilt(dtype=dtype)
    return objective, text_teacher, TeacherPass(on_task, objective.teacher_reads)


def _load_shared(folder: str, supernet: TextModel, origin: str) -> EfficientBert:
    """Loads the supernet in `folder`; raises UserError if its sizes or vocabulary differ."""
    given = load(folder)
    is_same = (
        given.tokenizer.same_tokens(supernet.tokenizer)
        and given.backbone.fit_size == supernet.backbone.fit_size
        and given.backbone.architecture == supernet.backbone.architecture
    )
    if not is_same:
        raise UserError(
            f"--shared_supernet={folder}: sizes or vocabulary differ from those of {origin}"
        )
    return given.backbone


def _check_alike(text: Architecture, text_folder: Path, teacher: TextModel, folder: str) -> None:
    """Raises UserError if the outputs of the two teachers differ in shape: one graph takes both.

    Args:
        text: architecture of the teacher on text, read from `text_folder`.
        teacher: the teacher on the task, read from `folder`.
    """
    for name in ("num_layers", "num_heads", "hidden_size"):
        on_text, on_task = getattr(text, name), getattr(teacher.backbone.architecture, name)
        if on_text != on_task:
            raise UserError(
                f"--teacher_dir={text_folder} has {name} {on_text}, --teacher={folder} has "
                f"{on_task}; use the BERT from which --teacher was fine-tuned"
            )
