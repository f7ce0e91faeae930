"""One job from a saved model to everything that is deployed of it."""

import dataclasses
import logging
from pathlib import Path

from tqdm import tqdm

from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.errors import UserError
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
from tf_efficientbert.export.saved_model import export_saved_model
from tf_efficientbert.models.text_model import TextModel, load_for
from tf_efficientbert.options import input_option, option
from tf_efficientbert.training.run_directory import open_run_directory

_log = logging.getLogger(__name__)

_THREADS = (1, 2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportOptions(TaskOptions):
    """What `export` is told."""

    output_dir: str = option("", "where saved_model/ and litert/ go")
    model: str = input_option("", "folder of the model to export")
    latency_runs: int = option(100, "runs behind each median latency")
    precisions: str = option(
        ",".join(DEFAULT_PRECISIONS), f"of the LiteRT files, a,b,c of {', '.join(PRECISIONS)}"
    )
    mediapipe: str = option("", "float32, float16 or int8: also write a file for MediaPipe so")
    text_in: str = option("", "float32, float16 or int8: also write a LiteRT file with tokenizer")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model:
            raise UserError("--model is missing: name the folder of a saved model")
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

    Returns: {"saved_model": path, "litert": {precision: {"path", "bytes", "latency_ms": {threads:
        median}}}, "mediapipe" and "litert_text": path, where asked for, "parity": see `parity`,
        "parity_split": the split it ran on, "seconds": float}. Latencies are for one text padded
        to `max_tokens`.

    Raises:
        UserError: for everything that is wrong with flags or files, and where the data belongs to
            another task than the model.
    """
    with open_run_directory(options) as run:
        if run.result:
            return run.result
        data = TaskData(options)
        model = load_for(options.model, data.task, options.max_tokens)
        examples = data.load(data.score_split)
        # One that a killed process finished is whole, and this job's.
        earlier = list((run.path / "saved_model").glob("[0-9]*")) if run.resumed else []
        version = earlier[0] if earlier else export_saved_model(model, run.path / "saved_model")
        paths = export_litert(
            model,
            run.path / "litert",
            options.max_tokens,
            options.litert_precisions,
            model.encode(data.load("dev")) if options.calibrates else None,
        )
        _log.info("exported %s and %s", version, ", ".join(map(str, paths.values())))
        encoded = model.encode(examples)
        litert = {}
        for precision, path in tqdm(paths.items(), desc="time LiteRT", unit="file"):
            latency = {
                str(threads): LiteRtModel(path, threads).milliseconds(encoded, options.latency_runs)
                for threads in _THREADS
            }
            size = Path(path).stat().st_size
            litert[precision] = {"path": str(path), "bytes": size, "latency_ms": latency}
        return run.finish(
            {
                "saved_model": str(version),
                "litert": litert,
                **_other_litert_files(model, run.path / "litert", options),
                "parity": parity(model, version, paths, examples),
                "parity_split": data.score_split,
            }
        )


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
