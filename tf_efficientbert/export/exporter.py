"""One job from a saved model to everything that is deployed of it."""

import dataclasses
import logging
from pathlib import Path

from tqdm import tqdm

from tf_efficientbert.data.batching import EncodedExamples
from tf_efficientbert.data.task import Examples, Task
from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.agreement import require_agreement
from tf_efficientbert.export.huggingface import export_huggingface
from tf_efficientbert.export.litert import (
    DEFAULT_PRECISIONS,
    PRECISIONS,
    LiteRtModel,
    export_litert,
)
from tf_efficientbert.export.litert_conversion import CONVERTER_PRECISIONS, needs_calibration
from tf_efficientbert.export.litert_text import export_litert_text
from tf_efficientbert.export.mediapipe import export_mediapipe
from tf_efficientbert.export.parity import parity
from tf_efficientbert.export.saved_model import next_version, write_model_card, write_version
from tf_efficientbert.models.text_model import TextModel, load, load_for
from tf_efficientbert.options import input_option, option
from tf_efficientbert.storage import replaced_directory, write_json
from tf_efficientbert.training.run_directory import open_run_directory

_log = logging.getLogger(__name__)

_THREADS = (1, 2)
_SERVING, _HUGGINGFACE = FORMATS = ("serving", "huggingface")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportOptions(TaskOptions):
    """What `export` is told."""

    output_dir: str = option("", "where saved_model/, litert/ and parity.json go")
    model: str = input_option("", "folder of the model to export")
    format: str = option(_SERVING, "serving (SavedModel and LiteRT) or huggingface (a folder)")
    saved_model_dir: str = option(
        "", "MODEL folder that gets the next version; saved_model/ in --output_dir by default"
    )
    latency_runs: int = option(100, "runs behind each median latency")
    max_float_difference: float = option(
        1e-3, "fail where a float form's numbers differ from Keras by more"
    )
    max_int8_loss: float = option(
        1.0, "fail where int8 loses more points of the task's first metric (100 turn it off)"
    )
    precisions: str = option(
        ",".join(DEFAULT_PRECISIONS), f"of the LiteRT files, a,b,c of {', '.join(PRECISIONS)}"
    )
    mediapipe: str = option("", "float32, float16 or int8: also write a file for MediaPipe so")
    text_in: str = option("", "float32, float16 or int8: also write a LiteRT file with tokenizer")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model:
            raise UserError("--model is missing: name the folder of a saved model")
        if self.format not in FORMATS:
            raise UserError(f"--format={self.format}: expected one of {', '.join(FORMATS)}")
        for name in ("max_float_difference", "max_int8_loss"):
            if not getattr(self, name) >= 0:  # NaN is not
                raise UserError(f"--{name}={getattr(self, name)}: expected 0 or more")
        if self.latency_runs < 1:
            raise UserError(f"--latency_runs={self.latency_runs}: expected a number above 0")
        for flag, names, known in (
            ("precisions", self.litert_precisions, PRECISIONS),
            ("mediapipe", (self.mediapipe,), ("", *CONVERTER_PRECISIONS)),
            ("text_in", (self.text_in,), ("", *CONVERTER_PRECISIONS)),
        ):
            for name in names:
                if name not in known:
                    listed = ", ".join(filter(None, known))
                    raise UserError(f"--{flag}: {name!r} is none of {listed}")

    @property
    def calibrates(self) -> bool:
        """Whether LiteRT files need text to be made."""
        return any(map(needs_calibration, self.litert_precisions))

    @property
    def litert_precisions(self) -> tuple[str, ...]:
        """`precisions` as a list, each once."""
        return tuple(dict.fromkeys(name.strip() for name in self.precisions.split(",")))


def export(options: ExportOptions) -> dict:
    """Writes SavedModel and LiteRT files, compares them on real text and times them.

    The comparison is kept as parity.json, whether it is passed or not; a SavedModel version comes
    to stand under its number only when it is.

    With the format "huggingface" it writes that folder alone, see `export_huggingface`; then no
    data is needed, and flags that name some are only held against the model's task.

    Returns: {"saved_model": path, "litert": {precision: {"path", "bytes", "latency_ms": {threads:
        median}}}, "mediapipe" and "litert_text": path, where asked for, "parity": see `parity`,
        "parity_split": the split it ran on, "seconds": float}. Latencies are for one text padded
        to `max_tokens`.

    Raises:
        UserError: for everything that is wrong with flags or files, where the data belongs to
            another task than the model, and where exported forms do not agree.
    """
    with open_run_directory(options) as run:
        if options.format == _HUGGINGFACE:
            return run.result or run.finish(
                export_huggingface(_model(options), run.path / "huggingface")
            )
        data = TaskData(options)
        if run.result:
            _require_agreement(run.result["parity"], data.task, options)
            return run.result
        model = load_for(options.model, data.task, options.max_tokens)
        own = run.path / "saved_model"
        folder = _made(options.saved_model_dir) if options.saved_model_dir else own
        examples = data.load(data.score_split)
        paths = export_litert(
            model,
            run.path / "litert",
            options.max_tokens,
            options.litert_precisions,
            model.encode(data.load("dev")) if options.calibrates else None,
        )

        def compare(version: Path) -> dict:
            forms = parity(model, version, paths, examples)
            report = {"split": data.score_split, "examples": len(examples), "forms": forms}
            write_json(run.path / "parity.json", report)
            _require_agreement(forms, data.task, options)
            return forms

        # One that a killed process finished is whole, compared, and this job's.
        earlier = list(own.glob("[0-9]*")) if run.resumed else []
        version = earlier[0] if earlier else next_version(folder)
        if earlier:
            forms = compare(version)
        else:
            with replaced_directory(version) as new:
                name = version.parent.name
                write_version(model, new, name, data.load("dev"))
                forms = compare(new)
                write_model_card(model, new, name, _scores(forms["keras"], data, examples))
        _log.info("exported %s and %s", version, ", ".join(map(str, paths.values())))
        return run.finish(
            {
                "saved_model": str(version),
                "litert": _timed(paths, model.encode(examples), options.latency_runs),
                **_other_litert_files(model, run.path / "litert", options),
                "parity": forms,
                "parity_split": data.score_split,
            }
        )


def _model(options: ExportOptions) -> TextModel:
    """The model, of the task that the flags name if they name one."""
    if all(getattr(options, f.name) == f.default for f in dataclasses.fields(TaskOptions)):
        return load(options.model)
    return load_for(options.model, TaskData(options).task, options.max_tokens)


def _made(folder: str) -> Path:
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--saved_model_dir={folder} cannot be written: {error.strerror}"
        ) from error
    return Path(folder)


def _require_agreement(forms: dict, task: Task, options: ExportOptions) -> None:
    require_agreement(forms, task, options.max_float_difference, options.max_int8_loss)


def _scores(keras: dict[str, float], data: TaskData, examples: Examples) -> dict[str, str]:
    """The model card's lines."""
    where = f"on the {len(examples):,} examples of the {data.score_split} set"
    return {f"{metric} {where}": f"{keras[metric]:.4f}" for metric in data.task.metrics}


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


def _other_litert_files(model: TextModel, folder: Path, options: ExportOptions) -> dict[str, str]:
    written = {}
    for name, write, precision in (
        ("mediapipe", export_mediapipe, options.mediapipe),
        ("litert_text", export_litert_text, options.text_in),
    ):
        if precision:
            path = folder / f"{name}_{precision}.tflite"
            written[name] = str(write(model, path, options.max_tokens, precision))
    return written
