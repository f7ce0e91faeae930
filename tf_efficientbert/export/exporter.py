"""One job from a saved model to everything that is deployed of it."""

import dataclasses
import logging
from pathlib import Path

from tqdm import tqdm

from tf_efficientbert.data.task_data import TaskData, TaskOptions
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.huggingface import export_huggingface
from tf_efficientbert.export.litert import LiteRtModel, export_litert
from tf_efficientbert.export.parity import parity
from tf_efficientbert.export.saved_model import export_saved_model
from tf_efficientbert.models.text_model import TextModel, load, load_for
from tf_efficientbert.options import input_option, option
from tf_efficientbert.training.run_directory import open_run_directory

_log = logging.getLogger(__name__)

_THREADS = (1, 2)
_SERVING, _HUGGINGFACE = FORMATS = ("serving", "huggingface")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportOptions(TaskOptions):
    """What `export` is told."""

    output_dir: str = option("", "where saved_model/ and litert/ go")
    model: str = input_option("", "folder of the model to export")
    format: str = option(_SERVING, "serving (SavedModel and LiteRT) or huggingface (a folder)")
    latency_runs: int = option(100, "runs behind each median latency")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model:
            raise UserError("--model is missing: name the folder of a saved model")
        if self.format not in FORMATS:
            raise UserError(f"--format={self.format}: expected one of {', '.join(FORMATS)}")
        if self.latency_runs < 1:
            raise UserError(f"--latency_runs={self.latency_runs}: expected a number above 0")


def export(options: ExportOptions) -> dict:
    """Writes SavedModel and LiteRT files, compares them on real text and times them.

    With the format "huggingface" it writes that folder alone, see `export_huggingface`; then no
    data is needed, and flags that name some are only held against the model's task.

    Returns: {"saved_model": path, "litert": {precision: {"path", "bytes", "latency_ms": {threads:
        median}}}, "parity": see `parity`, "parity_split": the split it ran on, "seconds": float}.
        Latencies are for one text padded to `max_tokens`.

    Raises:
        UserError: for everything that is wrong with flags or files, and where the data belongs to
            another task than the model.
    """
    with open_run_directory(options) as run:
        if run.result:
            return run.result
        if options.format == _HUGGINGFACE:
            return run.finish(export_huggingface(_model(options), run.path / "huggingface"))
        data = TaskData(options)
        model = load_for(options.model, data.task, options.max_tokens)
        examples = data.load(data.score_split)
        # One that a killed process finished is whole, and this job's.
        earlier = list((run.path / "saved_model").glob("[0-9]*")) if run.resumed else []
        version = earlier[0] if earlier else export_saved_model(model, run.path / "saved_model")
        paths = export_litert(model, run.path / "litert", options.max_tokens)
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
                "parity": parity(model, version, paths, examples),
                "parity_split": data.score_split,
            }
        )


def _model(options: ExportOptions) -> TextModel:
    """The model, of the task that the flags name if they name one."""
    if all(getattr(options, f.name) == f.default for f in dataclasses.fields(TaskOptions)):
        return load(options.model)
    return load_for(options.model, TaskData(options).task, options.max_tokens)
