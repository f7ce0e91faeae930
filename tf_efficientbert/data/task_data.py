"""Which labelled data a job works on: the shipped reviews, GLUE, or the user's own files."""

import dataclasses

from tf_efficientbert.data import custom, glue, reviews
from tf_efficientbert.data.task import Examples, Task
from tf_efficientbert.errors import UserError
from tf_efficientbert.options import input_option, option

_CUSTOM = "custom"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """Raises UserError where flags are missing or contradict each other."""

    task: str = option("reviews", "reviews (shipped), custom (your files) or a GLUE task's name")
    data_dir: str = input_option(
        "",
        "GLUE: the folder with the tasks' folders in it",
        part=lambda options: (
            ",".join(glue.task_files(options.data_dir, options.task)) if options.data_dir else ""
        ),
    )
    train_file: str = input_option("", "custom: .tsv with a header line, or .jsonl")
    dev_file: str = input_option("", "custom: the validation set, in the same form")
    test_file: str = input_option("", "custom: the test set, if there is one")
    labels: str = option("", "custom: the class names, a,b,c; empty for a regression")
    max_tokens: int = option(128, "where text is cut, [CLS] and [SEP] included")
    limit: int = option(0, "use at most so many examples of each split; 0 for all")

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise UserError(f"--limit={self.limit}: expected 0 or more")
        if self.max_tokens < 4:
            raise UserError(f"--max_tokens={self.max_tokens}: expected 4 or more")
        files = {name: getattr(self, name) for name in ("train_file", "dev_file", "test_file")}
        if self.data_dir and self.task in (_CUSTOM, reviews.TASK.name):
            raise UserError(f"--data_dir={self.data_dir} goes with a GLUE task, not {self.task}")
        if self.task == _CUSTOM:
            for name in ("train_file", "dev_file"):
                if not files[name]:
                    raise UserError(f"--task=custom needs --{name}")
            return
        for name, value in {**files, "labels": self.labels}.items():
            if value:
                raise UserError(f"--{name}={value} goes with --task=custom, not --task={self.task}")
        if self.task != reviews.TASK.name:
            glue.find_task(self.task)
            if not self.data_dir:
                raise UserError(f"--task={self.task} needs --data_dir, the folder of the GLUE data")


class TaskData:
    """The task and its splits; a split is read when it is asked for.

    Raises UserError for everything that is wrong with the files.
    """

    def __init__(self, options: TaskOptions):
        self._options = options
        if options.task == reviews.TASK.name:
            self.task = reviews.TASK
        elif options.task == _CUSTOM:
            labels = tuple(label.strip() for label in options.labels.split(",") if label.strip())
            train = custom.load(options.train_file, labels or None)
            self.task = Task(_CUSTOM, labels, train.second_sentences is not None)
        else:
            self.task = glue.find_task(options.task)

    def load(self, split: str) -> Examples:
        """The examples of "train", "dev" or "test"."""
        examples = self._read(split)
        return examples.first(self._options.limit) if self._options.limit else examples

    def _read(self, split: str) -> Examples:
        if self._options.task == reviews.TASK.name:
            return reviews.load(split)
        if self._options.task != _CUSTOM:
            return glue.load(self._options.data_dir, self._options.task, split)
        path = getattr(self._options, f"{split}_file")
        if not path:
            raise UserError(f"--{split}_file is missing")
        examples = custom.load(path, self.task.labels or None)
        if (examples.second_sentences is not None) != self.task.pair:
            expected = "pairs" if self.task.pair else "single sentences"
            raise UserError(f"{path}: expected {expected}, as --train_file has them")
        return examples

    @property
    def score_split(self) -> str:
        """The split results are read on: a labelled "test" where there is one, else "dev"."""
        own_test = self._options.task == _CUSTOM and self._options.test_file
        return "test" if own_test or self._options.task == reviews.TASK.name else "dev"
