"""The default task and its examples, read as jobs do."""

from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.tasks import LabelledTask

__all__ = ["default_task", "load"]


def default_task() -> LabelledTask:
    return TaskData(TaskOptions()).task


def load(split: str) -> Examples:
    return TaskData(TaskOptions()).load(split)
