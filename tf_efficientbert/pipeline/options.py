"""Options of the pipeline and of its jobs."""

import dataclasses
import itertools
import math
from pathlib import Path

from tf_efficientbert.compression.compress import CompressOptions
from tf_efficientbert.compression.steps import check_drops, parse_steps
from tf_efficientbert.data.corpus_options import CorpusOptions
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.data.unlabelled import UnlabelledOptions, read_unlabelled
from tf_efficientbert.distillation.distiller import DistillOptions
from tf_efficientbert.distillation.teacher_pass import TeachingOptions
from tf_efficientbert.distillation.text_teacher import check_text_teacher
from tf_efficientbert.distillation.warm_up import WarmUpOptions
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.options import ExportOptions
from tf_efficientbert.models.pretrained_supernet import (
    PRETRAINED,
    load_supernet,
    require_supernet,
    supernet_option,
)
from tf_efficientbert.models.teacher import find_teacher, read_config
from tf_efficientbert.options import input_option, option
from tf_efficientbert.search.options import SearchOptions
from tf_efficientbert.search.search import ARCHITECTURE
from tf_efficientbert.search.space import SpaceError
from tf_efficientbert.search.stage_budgets import check_budgets, search_budget
from tf_efficientbert.search.stages import read_stages
from tf_efficientbert.storage import write_file
from tf_efficientbert.training.fine_tune import FineTuneOptions

STUDENTS = ("plain", "published", "searched")
MODELS = ("teacher", *STUDENTS)
COMPRESSED = "compressed"
FRESH = "fresh"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PipelineOptions(TaskOptions, CorpusOptions, TeachingOptions, UnlabelledOptions):
    """Options of `run_pipeline`; the quick start adds texts without labels, and bfloat16."""

    output_dir: str = option("", "output folder; run again with it to resume")
    teacher_dir: str = input_option("", "a BERT's folder, bge-small, or minilm (also if empty)")
    supernet: str = supernet_option(
        PRETRAINED,
        "pretrained (it comes with this package), fresh (trained in this run), or a saved "
        "supernet's folder",
    )
    hidden_size: int = option(192, "hidden size of supernet and students")
    num_heads: int = option(12, "attention heads of supernet and students")
    embedding_size: int = option(128, "width of the token embedding")
    teacher_epochs: float = option(4.0, "epochs of the teacher over the task's texts")
    teacher_learning_rate: float = option(5e-5, "peak learning rate of the teacher")
    warm_up_epochs: float = option(0.65, "epochs of a fresh supernet over the corpus")
    warm_up_learning_rate: float = option(1e-3, "peak learning rate of a fresh supernet")
    stages: str = input_option("quick", "the search's: paper, quick, or a JSON file")
    sampler: str = option(
        "action-space", "the search's: action-space (learned), evolution or random"
    )
    group_size: int = option(4, "candidates trained together, sharing the teacher's outputs")
    student_epochs: float = option(7.0, "epochs of each student over the task's texts")
    student_learning_rate: float = option(1e-3, "peak learning rate of the students")
    dropout: float = option(0.1, "dropout rate of candidates and students, compression included")
    compress: str = option("", "compress the searched model, e.g. prune(0.5),quantize(int8)")
    compress_epochs: float = option(2.0, "epochs of each compression step")
    compress_learning_rate: float = option(2e-4, "peak learning rate of each compression step")
    batch_size: int = option(32, "examples per step")
    seed: int = option(0, "random seed")
    bfloat16: bool = option(False, "compute in bfloat16, keep weights in float32")
    checkpoint_seconds: float = option(20.0, "seconds between checkpoints")
    teacher_predictions: str = input_option(
        "",
        "a .jsonl file of predictions from which candidates and students learn instead of the "
        "teacher, see trainers.distill",
    )
    class_weights: str = option(
        "", "balanced: give rare classes more weight when training the teacher; empty: equal"
    )
    compared_examples: int = option(
        600, "compare exported forms on a fixed draw of this many test examples; 0: all"
    )
    latency_runs: int = option(100, "runs per latency measurement (the median is reported)")
    teacher_cache: str = option(
        "",
        "folder that keeps cached teacher outputs for later runs; empty: one in --output_dir "
        "until the students are trained",
    )
    corpus_max_tokens: int = option(64, "most tokens per example of the corpus")

    def __post_init__(self) -> None:
        TaskOptions.__post_init__(self)
        CorpusOptions.__post_init__(self)
        TeachingOptions.__post_init__(self)
        UnlabelledOptions.__post_init__(self)
        self.require_no_predictions(self.teacher_predictions)
        if "," in self.output_dir:
            raise UserError(f"--output_dir={self.output_dir}: leave the comma out")
        for phase in ("teacher", "warm_up", "student", "compress"):
            for name in (f"{phase}_epochs", f"{phase}_learning_rate"):
                if not 0 < getattr(self, name) < math.inf:
                    raise UserError(f"--{name}={getattr(self, name)}: expected a number above 0")
        for field in dataclasses.fields(self):
            is_unused = field.name.startswith("warm_up_") and not self.trains_supernet
            if is_unused and getattr(self, field.name) != field.default:
                raise UserError(f"--{field.name} has no effect without --supernet={FRESH}")
        # Create all phases' options now, so that an invalid value fails before the first phase.
        self.teacher()
        self.warm_up()
        self.search()
        self.student(STUDENTS[0])
        self.export(MODELS[0])
        if self.compress:
            self.compressed()
            # The searched student has as many layers as the supernet.
            check_drops(parse_steps(self.compress), self.warm_up().num_layers)

    @property
    def root(self) -> Path:
        return Path(self.output_dir)

    @property
    def models(self) -> tuple[str, ...]:
        """The names of all models for the task."""
        return (*MODELS, COMPRESSED) if self.compress else MODELS

    def check_sizes(self) -> None:
        """Raises UserError if sizes or the stages' bounds are inconsistent with the teacher."""
        folder = find_teacher(self.teacher_dir)
        config = read_config(folder)
        limits = {
            "embedding_size": "hidden_size",
            "max_tokens": "max_position_embeddings",
            "corpus_max_tokens": "max_position_embeddings",
        }
        for name, limit in limits.items():
            if getattr(self, name) > config[limit]:
                raise UserError(
                    f"--{name}={getattr(self, name)} is above the {limit} of {folder}, "
                    f"{config[limit]}"
                )

        # The parameter bounds of the search depend on the teacher's sizes.
        search, supernet = self.search(), self.warm_up().architecture()
        if not self.trains_supernet:
            self._check_supernet()
        sizes = tuple(
            config[name] for name in ("hidden_size", "vocab_size", "max_position_embeddings")
        )
        budget = search_budget(search.min_parameters, search.max_parameters, supernet, sizes)
        try:
            check_budgets(read_stages(self.stages), supernet, budget)
        except SpaceError as error:
            raise UserError(f"--stages={self.stages}: {error}") from error

    def _check_supernet(self) -> None:
        supernet, origin = load_supernet(self.supernet), f"--supernet={self.supernet}"
        require_supernet(supernet, origin)
        found, expected = supernet.backbone.architecture, self.warm_up().architecture()
        fresh = f"; --supernet={FRESH} trains one that fits"
        for name in ("hidden_size", "num_heads", "embedding_size"):
            if getattr(found, name) != getattr(expected, name):
                has, given = getattr(found, name), getattr(expected, name)
                raise UserError(f"--{name}={given}, but {origin} has {has}{fresh}")
        if found != expected:
            raise UserError(f"{origin} has other layers than a student of the pipeline{fresh}")
        if self.max_tokens > supernet.backbone.max_positions:
            raise UserError(
                f"--max_tokens={self.max_tokens}: {origin} has only "
                f"{supernet.backbone.max_positions} positions{fresh}"
            )
        try:
            check_text_teacher(self.teacher_dir, self.corpus_max_tokens, supernet, True)
        except UserError as error:
            raise UserError(f"{error}{fresh}") from error

    def teacher(self) -> FineTuneOptions:
        return FineTuneOptions(
            **self._shared(TaskOptions),
            **self._training(),
            output_dir=str(self.root / "teacher"),
            teacher_dir=self.teacher_dir,
            class_weights=self.class_weights,
            epochs=self.teacher_epochs,
            learning_rate=self.teacher_learning_rate,
        )

    @property
    def own_text(self) -> Path:
        """The task's training texts without their labels."""
        return self.root / "task_texts.txt"

    def write_own_text(self) -> None:
        data = TaskData(self)
        _write_texts(self.own_text, data.load("train"))
        if self._unlabelled_text:
            share = self.unlabelled_share
            texts = read_unlabelled(self.unlabelled_file, share, self, data)
            _write_texts(self._unlabelled_text, texts)

    @property
    def _warm_up_corpus(self) -> str:
        # The training texts are included twice, as they are few compared to the corpus.
        paths = [self.corpus, self.own_text, self.own_text, self._unlabelled_text]
        return ",".join(str(path) for path in paths if path)

    @property
    def _unlabelled_text(self) -> Path | None:
        """The unlabelled texts; None if there are none, or the corpus has them already."""
        if not self.unlabelled_file or self.unlabelled_file in self.corpus.split(","):
            return None
        return self.root / "unlabelled_texts.txt"

    @property
    def trains_supernet(self) -> bool:
        """Whether the run has a warm-up."""
        return self.supernet == FRESH

    def warm_up(self, pair_task: bool = False) -> WarmUpOptions:
        """The options of the warm-up; without one, its sizes are those of the supernet.

        Args:
            pair_task: whether the task's examples are pairs of texts, see `packing`.
        """
        packing = "pairs" if self.packs_pairs(pair_task) else "sentences"
        return WarmUpOptions(
            **{**self._shared(CorpusOptions), "packing": packing},
            **self._training(),
            corpus=self._warm_up_corpus,
            output_dir=str(self.root / "supernet"),
            teacher_dir=self.teacher_dir,
            hidden_size=self.hidden_size,
            num_heads=self.num_heads,
            embedding_size=self.embedding_size,
            epochs=self.warm_up_epochs,
            learning_rate=self.warm_up_learning_rate,
            recipe="hidden",
            dropout=0.0,
        )

    def search(self) -> SearchOptions:
        names = ("stages", "sampler", "group_size", "dropout")
        return SearchOptions(
            **self._shared(TaskOptions),
            **self._shared(CorpusOptions),
            **self._teaching,
            **self._shared(UnlabelledOptions),
            **{name: getattr(self, name) for name in names},
            **self._running,
            corpus=self._warm_up_corpus,
            output_dir=str(self.root / "search"),
            **self._task_teacher,
            supernet=self._supernet_model,
            teacher_dir=self.teacher_dir,
            recipe="hidden",
        )

    def student(self, name: str) -> DistillOptions:
        found = str(self.root / "search" / ARCHITECTURE)
        return DistillOptions(
            **self._shared(TaskOptions),
            **self._shared(CorpusOptions),
            **self._teaching,
            **self._shared(UnlabelledOptions),
            **self._training(),
            corpus=self.corpus,
            output_dir=str(self.root / name),
            **self._task_teacher,
            supernet=self._supernet_model,
            architecture=found if name == "searched" else name,
            teacher_dir=self.teacher_dir,
            general_epochs=0.0,
            epochs=self.student_epochs,
            learning_rate=self.student_learning_rate,
            dropout=self.dropout,
            recipe="hidden",
        )

    def compressed(self) -> CompressOptions:
        return CompressOptions(
            **self._shared(TaskOptions),
            **self._shared(UnlabelledOptions),
            **self._teaching,
            **self._training(),
            output_dir=str(self.root / COMPRESSED),
            model=self._model("searched"),
            **self._task_teacher,
            compress=self.compress,
            epochs=self.compress_epochs,
            learning_rate=self.compress_learning_rate,
            dropout=self.dropout,
        )

    def export(self, name: str) -> ExportOptions:
        return ExportOptions(
            **self._shared(TaskOptions),
            output_dir=str(self.root / "export" / name),
            model=self._model(name),
            compared_examples=self.compared_examples,
            latency_runs=self.latency_runs,
            precisions="float32,int8",
            mediapipe="none",
            max_int8_loss=100.0,  # the report shows the loss; it should not end a run of hours
        )

    @property
    def teacher_outputs(self) -> Path:
        """The folder of teacher outputs that the phases share, unless --teacher_cache names one."""
        return self.root / "teacher_outputs"

    @property
    def _teaching(self) -> dict:
        folder = self.teacher_cache or str(self.teacher_outputs)
        return {**self._shared(TeachingOptions), "teacher_cache": folder}

    @property
    def _task_teacher(self) -> dict[str, str]:
        """The flag for the teacher of candidates and students on the task."""
        if self.teacher_predictions:
            return {"teacher_predictions": self.teacher_predictions}
        return {"teacher": self._model("teacher")}

    @property
    def _supernet_model(self) -> str:
        return self._model("supernet") if self.trains_supernet else self.supernet

    def _model(self, name: str) -> str:
        return str(self.root / name / "model")

    def _shared(self, options_class: type) -> dict:
        """Returns the values of the fields of `options_class`, except the corpus."""
        names = {field.name for field in dataclasses.fields(options_class)} - {"corpus"}
        return {name: getattr(self, name) for name in sorted(names)}

    @property
    def _running(self) -> dict:
        names = ("seed", "bfloat16", "checkpoint_seconds")
        return {name: getattr(self, name) for name in names}

    def _training(self) -> dict:
        return {"batch_size": self.batch_size, **self._running}


def _write_texts(path: Path, examples: Examples) -> None:
    """Writes a line per text; the texts of a pair follow each other."""
    texts = itertools.chain.from_iterable(zip(*examples.columns, strict=True))
    write_file(path, "".join(" ".join(text.split()) + "\n" for text in texts).encode("utf-8"))
