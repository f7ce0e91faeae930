"""The flags that name the labelled data a job works on."""

import dataclasses

from tf_efficientbert.data import glue, snippets
from tf_efficientbert.data.file_options import FileOptions
from tf_efficientbert.errors import UserError
from tf_efficientbert.options import input_option, option
from tf_efficientbert.tasks import LABELLED_KINDS, METRICS, SEPARATOR

__all__ = ["CUSTOM", "SPLITS", "TaskOptions"]

CUSTOM = "custom"
SPLITS = ("train", "dev", "test")
_FILES = ("train_file", "dev_file", "test_file")
# Flags that need the user's own data, besides those of `FileOptions` and the files.
_OWN = ("tfds", "tfds_dir", "labels", "labels_file", "label_separator", "task_kind", "split")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskOptions(FileOptions):
    """Options for the labelled data of a job.

    Raises:
        UserError: flags are missing or contradict each other.
    """

    task: str = option(
        "",
        "snippets (default) or a GLUE task; leave it out with --train_file or --tfds",
    )
    data_dir: str = input_option(
        "",
        "GLUE: the folder with the tasks' folders in it",
        part=lambda options: (
            ",".join(glue.task_files(options.data_dir, options.task)) if options.data_dir else ""
        ),
    )
    train_file: str = input_option(
        "", "your examples: .csv, .tsv, .jsonl, .json or .parquet, optionally .gz"
    )
    dev_file: str = input_option("", "your validation set; empty: split off --train_file")
    test_file: str = input_option("", "your test set; empty: split off --train_file")
    tfds: str = option("", "a set of tensorflow_datasets, such as ag_news_subset or glue/qnli")
    tfds_dir: str = option("", "where that set is or will be; empty: the library's default folder")
    labels: str = option("", "classes to keep, in this order: a,b,c; empty: all, sorted")
    labels_file: str = input_option("", "the same as a file, one name per line")
    label_separator: str = option(SEPARATOR, "separator between several labels in one cell")
    task_kind: str = option(
        "", f"{', '.join(LABELLED_KINDS)}; empty: detected from the training file's labels"
    )
    metric: str = option(
        "",
        f"metric that selects candidates: {', '.join(METRICS)}; empty for the task's",
    )
    split: str = option(
        "80/10/10",
        "percentages of --train_file for train/dev/test splits without a file of their own",
    )
    max_tokens: int = option(
        128, "most tokens per example, [CLS] and [SEP] included; longer text is cut"
    )
    limit: int = option(0, "use at most this many examples per split, drawn once; 0: all")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.limit < 0:
            raise UserError(f"--limit={self.limit}: expected 0 or more")
        if self.max_tokens < 4:
            raise UserError(f"--max_tokens={self.max_tokens}: expected 4 or more")
        if self.task_kind and self.task_kind not in LABELLED_KINDS:
            known = ", ".join(LABELLED_KINDS)
            raise UserError(f"--task_kind={self.task_kind}: expected one of {known}")
        if self.metric and self.metric not in METRICS:
            raise UserError(f"--metric={self.metric}: expected one of {', '.join(METRICS)}")
        self.shares  # noqa: B018  checks --split
        if not self.label_separator.strip():
            raise UserError("--label_separator is empty: name the character between labels")
        if self.labels and self.labels_file:
            raise UserError("--labels and --labels_file exclude each other")
        if self.is_own:
            self._check_own()
        else:
            self._check_named()

    @property
    def is_own(self) -> bool:
        """Whether the data is the user's own files, or a set of tensorflow_datasets."""
        given = self.tfds or any(getattr(self, name) for name in _FILES)
        return self.task == CUSTOM or (not self.task and bool(given))

    @property
    def name(self) -> str:
        """The task's name."""
        if self.is_own:
            return CUSTOM
        return self.task or snippets.NAME

    @property
    def shares(self) -> dict[str, float]:
        """Percentage of the training file for each split."""
        parts = self.split.split("/")
        try:
            numbers = [float(part) for part in parts]
        except ValueError:
            numbers = []
        if (
            len(numbers) != 3
            or not all(0 <= number <= 100 for number in numbers)  # NaN is not
            or abs(sum(numbers) - 100) > 1e-6
            or not numbers[0]
        ):
            raise UserError(
                f"--split={self.split}: expected three percentages that sum to 100, as in 80/10/10"
            )
        return dict(zip(SPLITS, numbers, strict=True))

    def _check_own(self) -> None:
        if self.data_dir:
            raise UserError(f"--data_dir={self.data_dir} goes with a GLUE task, not your own data")
        files = [name for name in _FILES if getattr(self, name)]
        if self.tfds and files:
            raise UserError(f"--tfds and --{files[0]} exclude each other")
        if self.tfds_dir and not self.tfds:
            raise UserError(f"--tfds_dir={self.tfds_dir} goes with --tfds")
        if not self.tfds and not files:
            raise UserError(f"--task={CUSTOM} needs --train_file, or --tfds")

    def _check_named(self) -> None:
        own = (*_FILES, *_OWN, *(field.name for field in dataclasses.fields(FileOptions)))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in own and value != field.default:
                raise UserError(
                    f"--{field.name}={value} goes with your own data, not with --task={self.name}"
                )
        if self.name == snippets.NAME:
            if self.data_dir:
                raise UserError(f"--data_dir={self.data_dir} goes with a GLUE task")
            return
        glue.find_task(self.task)
        if not self.data_dir:
            raise UserError(f"--task={self.task} needs --data_dir, the folder of the GLUE data")
