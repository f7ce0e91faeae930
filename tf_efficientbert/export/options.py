"""Flags of an export."""

import dataclasses
from pathlib import Path

from tf_efficientbert.data.task_data import TaskOptions
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.agreement import Limits
from tf_efficientbert.export.litert import DEFAULT_PRECISIONS, PRECISIONS
from tf_efficientbert.export.litert_conversion import CONVERTER_PRECISIONS, needs_calibration
from tf_efficientbert.export.mediapipe import mediapipe_refusal
from tf_efficientbert.export.mediapipe_process import check_mediapipe
from tf_efficientbert.metrics.squad import VERSIONS as SQUAD_VERSIONS
from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.options import input_option, option

__all__ = ["HUGGINGFACE", "ExportOptions"]

_AUTO, _NONE = "auto", "none"
_SERVING, HUGGINGFACE = FORMATS = ("serving", "huggingface")
# Flags allowed with --questions (only a SavedModel is written) and with --format=huggingface.
_WITH_QUESTIONS = {
    *("questions", "squad_version", "model", "output_dir", "saved_model_dir", "limit"),
    "max_float_difference",
}
_WITH_HUGGINGFACE = {
    *("format", "model", "output_dir"),
    *(field.name for field in dataclasses.fields(TaskOptions)),
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
        if self.format == HUGGINGFACE:
            self._allow_only(_WITH_HUGGINGFACE, f"--format={HUGGINGFACE}")

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
