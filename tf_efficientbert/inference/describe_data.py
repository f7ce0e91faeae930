"""The job that describes labelled data."""

import dataclasses
import json

from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.models.teacher import find_teacher
from tf_efficientbert.options import option
from tf_efficientbert.storage import full_disk_named, write_file


@dataclasses.dataclass(frozen=True, kw_only=True)
class DescribeDataOptions(TaskOptions):
    """What `describe_data` is told."""

    teacher_dir: str = option("", "BERT folder whose vocabulary is used; empty for MiniLM")
    json: str = option("", "also write the card to this file")


def describe_data(options: DescribeDataOptions) -> dict:
    """The data card, see `data.card.describe`.

    Raises:
        UserError: for everything that is wrong with flags or files.
    """
    card = TaskData(options).card(Tokenizer.from_folder(find_teacher(options.teacher_dir)))
    if options.json:
        content = json.dumps(card, indent=2, ensure_ascii=False)
        with full_disk_named(options.json):
            write_file(options.json, content.encode("utf-8"))
    return card
