"""Runs MediaPipe's TextClassifier in a separate Python environment.

MediaPipe and this project cannot share an environment: they need different versions of absl-py.
"""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tf_efficientbert.data.bert_normalizer import normalized_character
from tf_efficientbert.errors import UserError

_CLASSIFY = """
import json, sys
from mediapipe.tasks.python import BaseOptions, text

options = text.TextClassifierOptions(BaseOptions(model_asset_path=sys.argv[1]))
with text.TextClassifier.create_from_options(options) as classifier:
    answers = [classifier.classify(each).classifications[0] for each in json.load(sys.stdin)]
scores = [{one.category_name: one.score for one in answer.categories} for answer in answers]
print(json.dumps(scores))
"""


def mediapipe_probabilities(
    python: str | Path, path: str | Path, texts: Sequence[str], labels: Sequence[str]
) -> np.ndarray:
    """Returns MediaPipe's probabilities, float32 [texts, labels].

    MediaPipe lower-cases only ASCII. So this function lower-cases the texts and strips accents
    first, as an app must do.

    Args:
        python: an interpreter with mediapipe.
        path: a file of `export_mediapipe`.

    Raises:
        UserError: the interpreter cannot be run, or MediaPipe fails (the message has its output),
            takes more than a minute plus a second per text, or returns other labels.
    """
    normal = [
        "".join(normalized_character(c, lower_case=True, strip_accents=True) for c in text)
        for text in texts
    ]
    output = _run(python, [_CLASSIFY, str(path)], json.dumps(normal), 60 + len(texts))
    scores = json.loads(output.splitlines()[-1])
    if set(scores[0]) != set(labels):
        raise UserError(f"{path}: MediaPipe returns labels {sorted(scores[0])}, expected {labels}")
    return np.array([[row[label] for label in labels] for row in scores], np.float32)


def check_mediapipe(python: str | Path) -> None:
    """Raises UserError if the interpreter cannot import mediapipe."""
    _run(python, ["import mediapipe"], "", 300)


def _run(python: str | Path, program: Sequence[str], given: str, seconds: float) -> str:
    """Runs a program and returns its standard output."""
    try:
        done = subprocess.run(
            [str(python), "-c", *program],
            input=given,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
    except OSError as error:
        raise UserError(f"{python} cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise UserError(f"MediaPipe in {python} did not finish in {seconds:.0f} s") from error
    if done.returncode:
        raise UserError(f"MediaPipe in {python} fails: {done.stderr.strip()[-500:]}")
    return done.stdout
