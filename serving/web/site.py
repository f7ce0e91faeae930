"""Builds the folder of the web page: page, MediaPipe and a model."""

import json
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from tf_efficientbert.errors import UserError
from tf_efficientbert.storage import replaced_directory, write_json

_ASSETS = Path(__file__).parent / "assets"
_PAGE = ("index.html", "page.css", "page.js")
_NPM = ("package.json", "package-lock.json")
_MODEL, _ABOUT, _RUNTIME_FOLDER = "model.tflite", "model.json", "mediapipe"

# MediaPipe loads the second pair in browsers without SIMD instructions.
_PACKAGE = Path("node_modules/@mediapipe/tasks-text")
_RUNTIME = ("text_bundle.mjs",) + tuple(
    f"wasm/text_wasm_{kind}.{end}"
    for kind in ("internal", "nosimd_internal")
    for end in ("js", "wasm")
)


def build_site(folder: str | Path, model: str | Path, precision: str = "float32") -> Path:
    """Writes all files of the page to `folder`; returns its path.

    Args:
        folder: replaced as a whole; any web server can serve it.
        model: folder of a saved model, or a .tflite file that `export_mediapipe` wrote.
        precision: float32, float16 or int8, if `model` is a folder.

    Raises:
        UserError: `folder` has other files; MediaPipe cannot run the model; npm is missing or
            fails; the disk is full.
    """
    folder = Path(folder)
    if folder.exists() and not _is_ours(folder):
        raise UserError(
            f"--output_dir={folder} holds other files and would be replaced: choose another"
        )
    with replaced_directory(folder) as new:
        for name in _PAGE:
            shutil.copy(_ASSETS / name, new)
        _add_model(Path(model), precision, new / _MODEL)
        write_json(new / _ABOUT, _described(new / _MODEL, f"--model={model}"))
        _add_runtime(new / _RUNTIME_FOLDER)
    return folder


def _is_ours(folder: Path) -> bool:
    """Returns whether the folder is empty or was built by `build_site`."""
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir()}
    return not names or names == {*_PAGE, _MODEL, _ABOUT, _RUNTIME_FOLDER}


def _add_model(model: Path, precision: str, path: Path) -> None:
    if model.is_file():
        shutil.copy(model, path)
        return
    # Imported here because an exported file needs no TensorFlow.
    from tf_efficientbert.export.mediapipe import export_mediapipe
    from tf_efficientbert.models.text_model import load

    loaded = load(model)
    try:
        export_mediapipe(loaded, path, loaded.max_tokens, precision)
    except UserError as error:
        raise UserError(f"--model={model} cannot run in the page: {error}") from error


def _described(path: Path, origin: str) -> dict:
    """Returns the facts about a model that the page shows, read from its file."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        with zipfile.ZipFile(path) as files:
            task = json.loads(files.read("task.json"))
        tokens = int(Interpreter(model_path=str(path)).get_input_details()[0]["shape"][-1])
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise UserError(
            f"{origin} is not a file for MediaPipe: name the folder of a saved model, or a .tflite "
            "file that `tf-efficientbert export_model --mediapipe=...` wrote"
        ) from error
    return {"task": task, "tokens": tokens, "bytes": path.stat().st_size}


def _add_runtime(folder: Path) -> None:
    """Installs MediaPipe from the npm registry, with the lock file's version and checksum."""
    npm = shutil.which("npm")
    if npm is None:
        raise UserError("npm is not on the PATH: install Node.js; npm downloads MediaPipe")
    with tempfile.TemporaryDirectory() as scratch:
        for name in _NPM:
            shutil.copy(_ASSETS / name, scratch)
        # Prefers npm's cache, so that a second run needs no network.
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"npm could not download MediaPipe:\n{done.stderr.strip()}")
        for name in _RUNTIME:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(scratch) / _PACKAGE / name, target)
