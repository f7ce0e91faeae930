"""The labelled data that a job works on: the default snippets, GLUE, or the user's own."""

import dataclasses
import functools
import json
import logging
import os
from collections.abc import Callable, Iterator

import numpy as np

from tf_efficientbert.data import glue, snippets
from tf_efficientbert.data.card import card_text, describe
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.own_data import read_own_data
from tf_efficientbert.data.splitting import stratified_draw
from tf_efficientbert.data.task_options import SPLITS, TaskOptions
from tf_efficientbert.data.task_sets import TaskSets
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.errors import UserError
from tf_efficientbert.tasks import Classification, LabelledTask, Task

__all__ = ["TaskData", "TaskOptions"]

_log = logging.getLogger(__name__)

_DRAW_SEED = 0  # of --limit


class TaskData:
    """The task and its splits.

    Files are read once per process, even if several jobs use them.

    Args:
        options: TaskOptions.
        known: the task of an existing model; no training file is then needed.

    Raises:
        UserError: a file is missing or invalid.
    """

    def __init__(self, options: TaskOptions, known: Task | None = None):
        if known is not None and not isinstance(known, LabelledTask):
            raise UserError(
                f"the model's task {known.name} is a {known.kind}, which has no label per text"
            )
        fields = dataclasses.fields(TaskOptions)
        self._options = TaskOptions(**{f.name: getattr(options, f.name) for f in fields})
        # Tasks that differ in metrics or thresholds alone are equal.
        described = json.dumps(known.to_dict()) if known else ""
        self._read = _read_once(self._options, known, described, _stamps(self._options))
        self.task = self._read.task

    @property
    def splits(self) -> tuple[str, ...]:
        """The names that `load` takes."""
        return tuple(self._read.sets.readers)

    def load(self, split: str) -> Examples:
        """Returns the examples of a split.

        Raises:
            UserError: there is no such split, or its file is invalid.
        """
        if split not in self._read.sets.readers:
            if self._options.is_own and split in SPLITS:
                why = "--train_file is not given"
                if "train" in self.splits:
                    share, given = self._options.shares[split], self._options.split
                    few = "--train_file has too few different texts to cut it off"
                    why = few if share else f"--split={given} gives it no share"
                raise UserError(f"there is no {split} split; give --{split}_file ({why})")
            raise UserError(f"{self.task.name} has no split {split!r}: {', '.join(self.splits)}")
        return self._read.load(split)

    def whole_scored_sets(self) -> Iterator[Examples]:
        """Yields all sets but the training set, whatever --limit draws of them."""
        sets = self._read.sets
        for split, read in sets.readers.items():
            if split == "train":
                continue
            try:
                yield read()
            except UserError:
                # A test set without labels scores nothing, and its file may be missing.
                if split != "test" or sets.has_own_test:
                    raise

    @property
    def score_split(self) -> str:
        """The split for the reported scores: a labelled "test" if there is one, else "dev"."""
        return "test" if self._read.sets.has_own_test else "dev"

    def card(self, tokenizer: Tokenizer) -> dict:
        """See `card.describe`."""
        sets = self._read.sets
        # A test set without labels is of no use here, and its file may be missing.
        names = SPLITS if sets.has_own_test else SPLITS[:2]
        return describe(
            self.task,
            {name: self.load(name) for name in names if name in self.splits},
            columns=sets.columns,
            left_out=sets.left_out,
            notes=sets.notes,
            is_drawn=bool(self._options.limit),
            tokenizer=tokenizer,
            max_tokens=self._options.max_tokens,
        )

    def show_card(self, tokenizer: Tokenizer) -> None:
        """Logs the card, once per process."""
        self._read.once(lambda: _log.info("%s", card_text(self.card(tokenizer))))


class _Read:
    """The data that the flags name; each split is read once."""

    def __init__(self, options: TaskOptions, sets: TaskSets):
        self.sets = sets
        metrics = sets.task.metrics
        if options.metric:
            metrics = (options.metric, *(name for name in metrics if name != options.metric))
        self.task = dataclasses.replace(sets.task, metrics=metrics)
        self.load = functools.cache(functools.partial(_load, sets, options.limit))
        self._done = False

    def once(self, action: Callable[[], None]) -> None:
        """Runs `action` on the first call only."""
        if not self._done:
            self._done = True
            action()


def _load(sets: TaskSets, limit: int, split: str) -> Examples:
    examples = sets.readers[split]()
    if not limit or limit >= len(examples):
        return examples
    unlabelled = examples.labels is None
    strata = [None] * len(examples) if unlabelled else sets.task.strata(examples.labels)
    return examples.take(stratified_draw(strata, limit, _DRAW_SEED))


@functools.lru_cache(maxsize=2)
def _read_once(options: TaskOptions, known: LabelledTask | None, *_) -> _Read:
    """Caches the data; the other arguments change with the files, so changed files are read."""
    return _Read(options, _sets(options, known))


def _sets(options: TaskOptions, known: LabelledTask | None) -> TaskSets:
    if options.is_own:
        return read_own_data(options, known)
    if options.name == snippets.NAME:
        return _snippets()
    folder, task = options.data_dir, options.task
    readers = {
        split: functools.partial(glue.load, folder, task, split) for split in glue.splits(task)
    }
    return TaskSets(glue.find_task(task), readers)


def _snippets() -> TaskSets:
    def read(split: str) -> Examples:
        texts, labels = snippets.load(split)
        return Examples(texts, None, np.array(labels, np.int32))

    task = Classification(snippets.NAME, snippets.LABELS, pair=False)
    readers = {split: functools.partial(read, split) for split in SPLITS}
    return TaskSets(task, readers, has_own_test=True)


def _stamps(options: TaskOptions) -> tuple:
    paths = [getattr(options, f"{split}_file") for split in SPLITS] + [options.labels_file]
    return tuple(_stamp(path) for path in paths if path)


def _stamp(path: str) -> tuple | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
