"""All LiteRT files of one export: written, and as forms to compare and time."""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from tf_efficientbert.data.batching import EncodedExamples
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.export.litert import LiteRtModel, export_litert
from tf_efficientbert.export.litert_text import LiteRtTextModel, export_litert_text
from tf_efficientbert.export.mediapipe import MediaPipeFile, export_mediapipe
from tf_efficientbert.export.mediapipe_process import mediapipe_probabilities
from tf_efficientbert.export.parity import Form
from tf_efficientbert.models.text_model import TextModel

__all__ = ["LITERT", "LiteRtFile", "litert_forms", "litert_timings", "write_litert_files"]

LITERT, _MEDIAPIPE, _LITERT_TEXT = "litert", "mediapipe", "litert_text"
_THREADS = (1, 2)
LiteRtFile = tuple[str, str]  # (kind, precision)
_FORM_NAMES = {
    LITERT: "litert_{}",
    # Run by LiteRT's interpreter; "mediapipe_classifier_{}" is MediaPipe's own TextClassifier.
    _MEDIAPIPE: "mediapipe_file_{}",
    _LITERT_TEXT: "litert_text_{}",
}


def write_litert_files(
    model: TextModel,
    folder: Path,
    tokens: int,
    precisions: Sequence[str],
    mediapipe: str | None,
    text_in: str | None,
    calibration: EncodedExamples | None,
) -> dict[LiteRtFile, Path]:
    """Writes the files into `folder`.

    Args:
        tokens: of the longest text.
        precisions: of the files with token ids as inputs.
        mediapipe, text_in: precision of the file for MediaPipe, and of the file with a tokenizer;
            None or "" for no such file.
        calibration: see `export_litert`.
    """
    paths = export_litert(model, folder, tokens, precisions, calibration)
    files = {(LITERT, precision): path for precision, path in paths.items()}
    for kind, write, precision in (
        (_MEDIAPIPE, export_mediapipe, mediapipe),
        (_LITERT_TEXT, export_litert_text, text_in),
    ):
        if precision:
            path = folder / f"{kind}_{precision}.tflite"
            files[kind, precision] = write(model, path, tokens, precision)
    return files


def litert_forms(
    files: dict[LiteRtFile, Path],
    examples: Examples,
    encoded: EncodedExamples,
    labels: Sequence[str],
    mediapipe_python: str,
) -> dict[str, Form]:
    """Returns the forms that `parity` compares, by name.

    Args:
        encoded: `examples` as the model takes them.
        labels: of the task.
        mediapipe_python: a Python with mediapipe, whose TextClassifier is one more form; "" for
            none.
    """

    def form(kind: str, path: Path) -> Form:
        if kind == _MEDIAPIPE:
            return Form(lambda: MediaPipeFile(path, 2).probabilities(encoded), probabilities=True)
        if kind == _LITERT_TEXT:
            return Form(lambda: LiteRtTextModel(path, 2).logits(examples))
        return Form(lambda: LiteRtModel(path, 2).logits(encoded))

    forms = {_FORM_NAMES[kind].format(p): form(kind, path) for (kind, p), path in files.items()}
    if mediapipe_python:
        ((precision, path),) = (
            (p, path) for (kind, p), path in files.items() if kind == _MEDIAPIPE
        )
        forms[f"mediapipe_classifier_{precision}"] = Form(
            lambda: mediapipe_probabilities(mediapipe_python, path, examples.texts, labels),
            probabilities=True,
        )
    return forms


def litert_timings(paths: dict[str, Path], encoded: EncodedExamples, runs: int) -> dict[str, dict]:
    """Returns {precision: {"path", "bytes", "latency_ms": {threads: median of `runs`}}}."""
    litert = {}
    for precision, path in tqdm(paths.items(), desc="time LiteRT", unit="file"):
        latency = {
            str(threads): LiteRtModel(path, threads).milliseconds(encoded, runs)
            for threads in _THREADS
        }
        size = Path(path).stat().st_size
        litert[precision] = {"path": str(path), "bytes": size, "latency_ms": latency}
    return litert
