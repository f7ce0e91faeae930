"""Reads teacher predictions from a file, e.g. of a large language model, an ensemble or an API.

The file has one JSON line per training example, in any order. Lines are matched by id if both files
have an id for every example, else by text:

    {"text": "...", "second_text": "...", "probabilities": {"bad": 0.1, "good": 0.9}}
    {"id": "17", "probabilities": {"bad": 0.1, "good": 0.9}}
    {"text": "...", "value": 3.5}                              for a regression
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from tf_efficientbert.data.batching import EncodedExamples
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.table_file import read_table
from tf_efficientbert.data.text_file import line_error, shown
from tf_efficientbert.distillation.cached_outputs import CachedTeacherOutputs
from tf_efficientbert.errors import UserError
from tf_efficientbert.tasks import LabelledTask

__all__ = ["read_predictions", "with_predictions"]

_KEYS = ("text", "second_text", "id", "probabilities", "value")
_SUM_TOLERANCE = 0.02  # of class probabilities, which may be rounded


def read_predictions(path: str, examples: Examples, task: LabelledTask) -> np.ndarray:
    """Reads the predictions for all examples.

    Returns: probabilities [examples, classes] in the order of the task's labels, or values
        [examples] of a regression.

    Raises:
        UserError: the file cannot be read; a line has no text or id, or lacks a probability for a
            label; two lines of one example differ; an example is missing.
    """
    table = read_table(path)
    if table.bad_rows:
        raise line_error(path, table.bad_rows[0].line, table.bad_rows[0].reason)
    _check_keys(path, table.columns)
    ids_only = "id" in table.columns and "text" not in table.columns
    if ids_only and examples.ids is None:
        raise UserError(
            f"{path} names examples by id, but the training file has no ids; set --id_column"
        )
    with_ids = all(row.values.get("id") is not None for row in table.rows)
    by_id = examples.ids is not None and (with_ids or ids_only)
    columns = (examples.ids,) if by_id else examples.columns
    names = [tuple(part.strip() for part in row) for row in zip(*columns, strict=True)]
    read = _probabilities if task.has_classes else _value
    predictions: dict[tuple, np.ndarray] = {}
    for row in table.rows:
        values = row.values
        name = (values.get("id"),) if by_id else (values.get("text"), values.get("second_text"))
        if name[0] is None:
            raise line_error(path, row.line, f"no {'id' if by_id else 'text'}")
        name = tuple(str(part).strip() for part in name if part is not None)
        prediction = read(values, task, lambda problem, at=row.line: line_error(path, at, problem))
        if not np.array_equal(predictions.setdefault(name, prediction), prediction):
            raise line_error(
                path, row.line, f"{shown(name[0])} has another prediction in an earlier line"
            )
    missing = [name for name in names if name not in predictions]
    if missing:
        raise UserError(
            f"--teacher_predictions={path}: {len(missing)} of {len(names)} training examples are "
            f"missing, the first is {shown(missing[0][0])}"
        )
    return np.stack([predictions[name] for name in names])


def with_predictions(
    predictions: np.ndarray, examples: EncodedExamples, task: LabelledTask
) -> EncodedExamples | CachedTeacherOutputs:
    """Returns the training examples with predictions in place of teacher outputs.

    Args:
        predictions: one row per example, see `read_predictions`.
    """
    logits = task.teacher_logits(predictions)
    if logits is None:  # a regression learns from labels: replace them by the predictions
        return dataclasses.replace(examples, labels=predictions.astype(np.float32))
    return CachedTeacherOutputs(examples, {"logits": logits})


def _check_keys(path: str, keys: tuple[str, ...]) -> None:
    unknown = [key for key in keys if key not in _KEYS]
    if unknown:
        raise UserError(f"{path}: unknown key {unknown[0]!r}; expected {', '.join(_KEYS)}")


def _probabilities(values: dict, task: LabelledTask, error: Callable) -> np.ndarray:
    given = values.get("probabilities")
    if not isinstance(given, dict) or set(given) != set(task.labels):
        expected = ", ".join(map(repr, task.labels[:8]))
        raise error(f"probabilities are {shown(given)}, expected one for each label: {expected}")
    row = [given[label] for label in task.labels]
    if not all(isinstance(p, int | float) and not isinstance(p, bool) and 0 <= p <= 1 for p in row):
        raise error(f"probabilities are {shown(given)}, expected numbers from 0 to 1")
    if task.one_of_classes:
        if abs(sum(row) - 1) > _SUM_TOLERANCE:
            raise error(f"probabilities add up to {sum(row):g}, expected 1")
        row = [p / sum(row) for p in row]
    return np.array(row, np.float64)


def _value(values: dict, task: LabelledTask, error: Callable) -> np.ndarray:
    given = values.get("value")
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise error(f"value is {shown(given)}, expected a finite number")
    try:
        return np.array(task.target(given), np.float32)
    except ValueError as problem:
        raise error(f"value is {shown(given)}, expected a finite number") from problem
