"""The job that exports a saved model for deployment."""

import dataclasses
import logging
from pathlib import Path

from tqdm import tqdm

from tf_efficientbert.data import squad
from tf_efficientbert.data.batching import EncodedExamples
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.splitting import stratified_draw
from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.agreement import Limits, require_agreement
from tf_efficientbert.export.delivery import deliver
from tf_efficientbert.export.huggingface import export_huggingface
from tf_efficientbert.export.litert import (
    DEFAULT_PRECISIONS,
    PRECISIONS,
    LiteRtModel,
    export_litert,
)
from tf_efficientbert.export.litert_conversion import CONVERTER_PRECISIONS, needs_calibration
from tf_efficientbert.export.litert_text import LiteRtTextModel, export_litert_text
from tf_efficientbert.export.mediapipe import (
    MediaPipeFile,
    export_mediapipe,
    mediapipe_refusal,
)
from tf_efficientbert.export.mediapipe_process import check_mediapipe, mediapipe_probabilities
from tf_efficientbert.export.parity import Form, parity, saved_model_forms
from tf_efficientbert.export.question_parity import question_parity
from tf_efficientbert.metrics.squad import VERSIONS as SQUAD_VERSIONS
from tf_efficientbert.models.text_model import TextModel, load
from tf_efficientbert.options import input_option, option
from tf_efficientbert.storage import replaced_directory
from tf_efficientbert.training.run_directory import RunDirectory, open_run_directory

_log = logging.getLogger(__name__)

_THREADS = (1, 2)
_AUTO, _NONE = "auto", "none"
_SERVING, _HUGGINGFACE = FORMATS = ("serving", "huggingface")
_LITERT, _MEDIAPIPE, _LITERT_TEXT = "litert", "mediapipe", "litert_text"
# Flags allowed with --questions (only a SavedModel is written) and with --format=huggingface.
_WITH_QUESTIONS = {
    *("questions", "squad_version", "model", "output_dir", "saved_model_dir", "limit"),
    "max_float_difference",
}
_WITH_HUGGINGFACE = {
    *("format", "model", "output_dir"),
    *(field.name for field in dataclasses.fields(TaskOptions)),
}
_File = tuple[str, str]  # (kind, precision)
_FORM_NAMES = {
    _LITERT: "litert_{}",
    # Run by LiteRT's interpreter; "mediapipe_classifier_{}" is MediaPipe's own TextClassifier.
    _MEDIAPIPE: "mediapipe_file_{}",
    _LITERT_TEXT: "litert_text_{}",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportOptions(TaskOptions):
    """Options of `export`."""

    output_dir: str = option("", "output folder (saved_model/, litert/, parity.json)")
    model: str = input_option("", "folder of the model to export")
    format: str = option(_SERVING, "serving (SavedModel and LiteRT) or huggingface (a folder)")
    saved_model_dir: str = option(
        "", "write the next version into this model folder; default: saved_model/ in --output_dir"
    )
    compared_examples: int = option(
        0, "compare exported forms on a fixed draw of this many examples; 0: all"
    )
    latency_runs: int = option(100, "runs per latency measurement (the median is reported)")
    max_float_difference: float = option(
        1e-3, "fail if a float32 form's outputs differ from Keras by more than this"
    )
    max_float16_difference: float = option(1e-2, "the same limit for float16 files")
    max_int8_loss: float = option(
        1.0, "fail if int8 loses more points of the first metric than this; 100: no limit"
    )
    precisions: str = option(
        ",".join(DEFAULT_PRECISIONS),
        f"precisions of the LiteRT files, comma-separated: {', '.join(PRECISIONS)}",
    )
    mediapipe: str = option(
        _AUTO,
        "precision of the file for MediaPipe: float32, float16, int8, none for no such file, or "
        "auto, which is int8 for the models that MediaPipe can run and none for others",
    )
    mediapipe_python: str = option("", "a Python with mediapipe: compare its TextClassifier too")
    text_in: str = option("", "float32, float16 or int8: also write a LiteRT file with tokenizer")
    questions: str = input_option(
        "", "a data set in SQuAD's format, for a question answering model; replaces --task"
    )
    squad_version: str = option(
        SQUAD_VERSIONS[0],
        f"SQuAD version, which decides the scoring: {' or '.join(SQUAD_VERSIONS)}",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model:
            raise UserError("--model is missing: name the folder of a saved model")
        if self.format not in FORMATS:
            raise UserError(f"--format={self.format}: expected one of {', '.join(FORMATS)}")
        for name in ("max_float_difference", "max_float16_difference", "max_int8_loss"):
            if not getattr(self, name) >= 0:  # also true for NaN
                raise UserError(f"--{name}={getattr(self, name)}: expected 0 or more")
        if self.compared_examples < 0:
            raise UserError(f"--compared_examples={self.compared_examples}: expected 0 or more")
        if self.latency_runs < 1:
            raise UserError(f"--latency_runs={self.latency_runs}: expected a number above 0")
        for flag, names, known in (
            ("precisions", self.litert_precisions, PRECISIONS),
            ("mediapipe", (self.mediapipe,), (_AUTO, _NONE, *CONVERTER_PRECISIONS)),
            ("text_in", (self.text_in,), ("", *CONVERTER_PRECISIONS)),
        ):
            for name in names:
                if name not in known:
                    listed = ", ".join(filter(None, known))
                    raise UserError(f"--{flag}: {name!r} is none of {listed}")
        if self.mediapipe_python and self.mediapipe == _NONE:
            raise UserError("--mediapipe_python needs a file: --mediapipe=none writes none")
        if self.mediapipe_python:
            check_mediapipe(self.mediapipe_python)
        if self.squad_version not in SQUAD_VERSIONS:
            raise UserError(
                f"--squad_version={self.squad_version}: expected one of {', '.join(SQUAD_VERSIONS)}"
            )
        if self.questions:
            self._allow_only(_WITH_QUESTIONS, "--questions")
        if self.format == _HUGGINGFACE:
            self._allow_only(_WITH_HUGGINGFACE, f"--format={_HUGGINGFACE}")

    def _allow_only(self, names: set[str], where: str) -> None:
        for field in dataclasses.fields(self):
            given = getattr(self, field.name)
            if given != field.default and field.name not in names:
                raise UserError(f"--{field.name}={given} cannot be combined with {where}")

    def model_folder(self, job: Path) -> Path:
        """Returns the folder of the SavedModel's versions.

        Raises:
            UserError: the folder cannot be created.
        """
        if not self.saved_model_dir:
            return job / "saved_model"
        try:
            Path(self.saved_model_dir).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"--saved_model_dir={self.saved_model_dir} cannot be written: {error.strerror}"
            ) from error
        return Path(self.saved_model_dir)

    @property
    def names_data(self) -> bool:
        """Whether any flag about the task's data is set."""
        return any(getattr(self, f.name) != f.default for f in dataclasses.fields(TaskOptions))

    @property
    def limits(self) -> Limits:
        """Limits on the difference between exported forms and Keras."""
        return Limits(self.max_float_difference, self.max_float16_difference, self.max_int8_loss)

    @property
    def calibrates(self) -> bool:
        """Whether any LiteRT precision needs calibration text."""
        return any(map(needs_calibration, self.litert_precisions))

    def mediapipe_precision(self, model: TextModel) -> str | None:
        """Returns the precision of the file for MediaPipe, or None for no file.

        Raises:
            UserError: the flags ask for MediaPipe, which cannot run the model.
        """
        refusal = mediapipe_refusal(model)
        if refusal and (self.mediapipe_python or self.mediapipe not in (_AUTO, _NONE)):
            raise UserError(f"--mediapipe={self.mediapipe}: {refusal}")
        if refusal or self.mediapipe == _NONE:
            return None
        return "int8" if self.mediapipe == _AUTO else self.mediapipe

    @property
    def litert_precisions(self) -> tuple[str, ...]:
        """`precisions` as a tuple without duplicates."""
        return tuple(dict.fromkeys(name.strip() for name in self.precisions.split(",")))


def export(options: ExportOptions) -> dict:
    """Writes SavedModel and LiteRT files, compares them on real text and times them.

    The comparison goes to parity.json, even if a form exceeds its limit, and to the version's
    assets.extra. The SavedModel version and litert/ appear in their folders only if no form
    exceeds its limit.

    With `questions`, the model must be a question answering model. Only its SavedModel is written,
    and compared with Keras on these questions, see `question_parity`.

    With the format "huggingface", only that folder is written, see `export_huggingface`. No data is
    needed then; flags that name data are only checked against the model's task.

    Returns: {"saved_model": path, "litert": {precision: {"path", "bytes", "latency_ms": {threads:
        median}}}, "mediapipe" and "litert_text": path, if written, "metric": the score that limits
        int8, "parity": see `parity`, "parity_split" and "parity_examples": the compared split and
        number of examples, "seconds": float}. Latencies are for one text padded to `max_tokens`.

    Raises:
        UserError: a flag or file is invalid, the data belongs to another task than the model, or
            an exported form exceeds its limit.
    """
    with open_run_directory(options) as run:
        if run.result:
            if "parity" in run.result:  # the limits may have changed since
                require_agreement(run.result["parity"], run.result["metric"], options.limits)
            return run.result
        model = load(options.model)
        if options.format == _HUGGINGFACE:
            if options.names_data:
                _data_of(options, model)
            return run.finish(export_huggingface(model, run.path / "huggingface"))
        if options.questions:
            return _export_questions(options, run, model)
        data = _data_of(options, model)
        folder = options.model_folder(run.path)
        examples = _compared(data, options.compared_examples)
        encoded = model.encode(examples)
        with replaced_directory(run.path / "litert") as litert:
            files = _write_litert(model, litert, data, options)
            litert_forms = _litert_forms(files, model, examples, encoded, options)

            def compare(version: Path) -> dict:
                forms = saved_model_forms(version, model.task, examples, encoded) | litert_forms
                figures = parity(model, forms, examples, encoded)
                return {"split": data.score_split, "examples": len(examples), "forms": figures}

            version, report = deliver(
                model,
                run.path,
                folder,
                _own_examples(data),
                compare,
                data.task.metrics,
                options.limits,
            )
        paths = {file: run.path / "litert" / path.name for file, path in files.items()}
        _log.info("exported %s and %s", version, ", ".join(map(str, paths.values())))
        models = {precision: p for (kind, precision), p in paths.items() if kind == _LITERT}
        return run.finish(
            {
                "saved_model": str(version),
                "litert": _timed(models, encoded, options.latency_runs),
                **{kind: str(path) for (kind, _), path in paths.items() if kind != _LITERT},
                "metric": data.task.metrics[0],
                "parity": report["forms"],
                "parity_split": data.score_split,
                "parity_examples": len(examples),
            }
        )


def _own_examples(data: TaskData) -> Examples:
    """Returns the examples for warm-up requests and calibration."""
    return data.load("dev" if "dev" in data.splits else data.score_split)


def _compared(data: TaskData, count: int) -> Examples:
    """Returns the examples of the scored split that exported forms are compared on."""
    examples = data.load(data.score_split)
    if not count:
        return examples
    return examples.take(stratified_draw(data.task.strata(examples.labels), count, seed=0))


def _export_questions(options: ExportOptions, run: RunDirectory, model: TextModel) -> dict:
    folder = options.model_folder(run.path)
    if not model.task or model.task.served_as != "answer":
        raise UserError(f"--questions: {options.model} is not a question answering model")
    questions = squad.load(options.questions)
    questions = questions[: options.limit or len(questions)]
    unanswerable = next((each.id for each in questions if not each.answers), None)
    if unanswerable and options.squad_version == "1.1":
        raise UserError(
            f"{options.questions}: question {unanswerable!r} has no answer, which only SQuAD 2.0 "
            "allows; set --squad_version=2.0"
        )
    texts = Examples(
        tuple(each.question for each in questions), tuple(each.context for each in questions), None
    )
    name = Path(options.questions).name

    def compare(version: Path) -> dict:
        figures = question_parity(model, version, questions, options.squad_version)
        return {"split": name, "examples": len(questions), "forms": figures}

    version, report = deliver(
        model, run.path, folder, texts, compare, model.task.metrics, options.limits
    )
    _log.info("exported %s; question answering models have no LiteRT form", version)
    return run.finish(
        {
            "saved_model": str(version),
            "metric": model.task.metrics[0],
            "parity": report["forms"],
            "parity_split": name,
        }
    )


def _data_of(options: ExportOptions, model: TextModel) -> TaskData:
    """Returns the data that the flags name; raises UserError if it is of another task."""
    data = TaskData(options, model.task)
    model.require(data.task, options.max_tokens, f"--model={options.model}")
    model.score_by(data.task.metrics)
    return data


def _timed(paths: dict[str, Path], encoded: EncodedExamples, runs: int) -> dict[str, dict]:
    litert = {}
    for precision, path in tqdm(paths.items(), desc="time LiteRT", unit="file"):
        latency = {
            str(threads): LiteRtModel(path, threads).milliseconds(encoded, runs)
            for threads in _THREADS
        }
        size = Path(path).stat().st_size
        litert[precision] = {"path": str(path), "bytes": size, "latency_ms": latency}
    return litert


def _write_litert(
    model: TextModel, folder: Path, data: TaskData, options: ExportOptions
) -> dict[_File, Path]:
    mediapipe = options.mediapipe_precision(model)
    calibration = model.encode(_own_examples(data)) if options.calibrates else None
    paths = export_litert(model, folder, options.max_tokens, options.litert_precisions, calibration)
    files = {(_LITERT, precision): path for precision, path in paths.items()}
    for kind, write, precision in (
        (_MEDIAPIPE, export_mediapipe, mediapipe),
        (_LITERT_TEXT, export_litert_text, options.text_in),
    ):
        if precision:
            path = folder / f"{kind}_{precision}.tflite"
            files[kind, precision] = write(model, path, options.max_tokens, precision)
    return files


def _litert_forms(
    files: dict[_File, Path],
    model: TextModel,
    examples: Examples,
    encoded: EncodedExamples,
    options: ExportOptions,
) -> dict[str, Form]:
    def form(kind: str, path: Path) -> Form:
        if kind == _MEDIAPIPE:
            return Form(lambda: MediaPipeFile(path, 2).probabilities(encoded), probabilities=True)
        if kind == _LITERT_TEXT:
            return Form(lambda: LiteRtTextModel(path, 2).logits(examples))
        return Form(lambda: LiteRtModel(path, 2).logits(encoded))

    forms = {_FORM_NAMES[kind].format(p): form(kind, path) for (kind, p), path in files.items()}
    if options.mediapipe_python:
        precision = options.mediapipe_precision(model)
        arguments = (
            options.mediapipe_python,
            files[_MEDIAPIPE, precision],
            examples.texts,
            model.labels,
        )
        forms[f"mediapipe_classifier_{precision}"] = Form(
            lambda: mediapipe_probabilities(*arguments), probabilities=True
        )
    return forms
