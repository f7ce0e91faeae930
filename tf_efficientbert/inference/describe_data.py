"""The job that describes labelled data."""

import dataclasses
import json
from pathlib import Path

from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.teacher import find_teacher
from tf_efficientbert.options import option
from tf_efficientbert.storage import write_file


@dataclasses.dataclass(frozen=True, kw_only=True)
class DescribeDataOptions(TaskOptions):
    """Options of `describe_data`."""

    teacher_dir: str = option("", "BERT folder whose vocabulary is used; empty for MiniLM")
    json: str = option("", "also write the card to this file")


def describe_data(options: DescribeDataOptions) -> dict:
    """Returns the data card, see `data.card.describe`.

    Raises:
        UserError: a flag or file is invalid.
    """
    card = TaskData(options).card(Tokenizer.from_folder(find_teacher(options.teacher_dir)))
    if options.json:
        content = json.dumps(card, indent=2, ensure_ascii=False)
        if Path(options.json).is_dir():
            raise UserError(f"--json={options.json} is a folder: name a file")
        try:
            write_file(options.json, content.encode("utf-8"))
        except OSError as error:
            raise UserError(f"--json={options.json} cannot be written: {error.strerror}") from error
    return card
