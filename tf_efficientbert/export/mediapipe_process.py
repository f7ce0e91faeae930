"""MediaPipe's own TextClassifier, asked in a Python that has it.

MediaPipe cannot be installed beside this project: the two want different versions of absl-py.
"""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow_text

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
    python: str | Path, path: str | Path, sentences: Sequence[str], labels: Sequence[str]
) -> np.ndarray:
    """What MediaPipe says: float32 [sentences, labels].

    MediaPipe lower-cases ASCII alone, so the sentences are lower-cased and rid of accents before,
    as an app has to.

    Args:
        python: an interpreter with mediapipe.
        path: a file of `export_mediapipe`.

    Raises:
        UserError: the interpreter cannot be run, or MediaPipe fails; what it said is named.
    """
    normalizer = tensorflow_text.FastBertNormalizer(lower_case_nfd_strip_accents=True)
    texts = [text.decode("utf-8") for text in normalizer.normalize(list(sentences)).numpy()]
    try:
        done = subprocess.run(
            [str(python), "-c", _CLASSIFY, str(path)],
            input=json.dumps(texts),
            capture_output=True,
            text=True,
        )
    except OSError as error:
        raise UserError(f"{python} cannot be run: {error.strerror}") from error
    if done.returncode:
        raise UserError(f"MediaPipe in {python} fails on {path}: {done.stderr.strip()[-500:]}")
    scores = json.loads(done.stdout.splitlines()[-1])
    return np.array([[row[label] for label in labels] for row in scores], np.float32)
