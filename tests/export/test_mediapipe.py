import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from tests.models.small_text_models import (
    LABELS,
    TASKS,
    VOCABULARY,
    small_examples,
    small_text_model,
)
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.flatbuffer import pack, unpack
from tf_efficientbert.export.litert_metadata import with_metadata
from tf_efficientbert.export.mediapipe import MediaPipeFile, export_mediapipe
from tf_efficientbert.export.mediapipe_process import check_mediapipe, mediapipe_probabilities
from tf_efficientbert.tasks import task_from_dict


@pytest.fixture(scope="module", params=["classification", "multilabel"])
def model(request, models):
    return models[request.param]


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("mediapipe") / "model.tflite"
    return export_mediapipe(model, path, model.max_tokens)


def test_vocabulary_labels_and_task_are_attached_unchanged(model, path):
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        assert archive.read("vocab.txt").decode().split("\n") == [*VOCABULARY, ""]
        assert archive.read("labels.txt").decode().split("\n") == [*LABELS, ""]
        described = task_from_dict(json.loads(archive.read("task.json")))
    assert described.to_dict() == model.task.to_dict()
    assert list(entries) == ["vocab.txt", "labels.txt", "task.json"]
    assert {entry.compress_type for entry in entries.values()} == {zipfile.ZIP_STORED}


def test_the_metadata_names_tensors_and_files(path):
    model = unpack(path.read_bytes())
    (entry,) = (each for each in model.metadata if each.name == b"TFLITE_METADATA")
    metadata = bytes(model.buffers[entry.buffer].data)
    assert metadata[4:8] == b"M001"
    for name in (b"ids", b"mask", b"segment_ids", b"vocab.txt", b"labels.txt"):
        assert len(name).to_bytes(4, "little") + name + b"\0" in metadata


def test_the_file_still_runs_in_litert_and_gives_probabilities(model, path):
    encoded = model.encode(small_examples(model.task))
    ours = MediaPipeFile(path).probabilities(encoded)
    expected = model.task.probabilities(model.logits(encoded))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


def test_the_same_model_makes_the_same_file(model, path, tmp_path):
    again = export_mediapipe(model, tmp_path / "again.tflite", model.max_tokens)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", ["pair", "regression"])
def test_unsupported_tasks_are_refused(tmp_path, kind):
    with pytest.raises(UserError, match="only classification of single texts"):
        export_mediapipe(small_text_model(kind), tmp_path / "x", 8)


def test_a_cased_model_is_refused(tmp_path):
    model = small_text_model()
    model.tokenizer = Tokenizer(VOCABULARY, lower_case=False)
    with pytest.raises(UserError, match="MediaPipe lower-cases all text"):
        export_mediapipe(model, tmp_path / "x", 8)
    with pytest.raises(UserError, match="MediaPipe files have no precision 'int4'"):
        export_mediapipe(small_text_model(), tmp_path / "x", 8, "int4")


def test_files_other_than_text_classifiers_are_refused(path):
    model = unpack(path.read_bytes())
    model.signatureDefs[0].inputs[0].name = b"picture"
    with pytest.raises(ValueError, match="expected the inputs .* the file has .*'picture'"):
        with_metadata(pack(model), VOCABULARY, TASKS["classification"])


@pytest.fixture(scope="module")
def mediapipe_python(tmp_path_factory):
    """A Python with mediapipe: MEDIAPIPE_PYTHON, or a new environment."""
    if "MEDIAPIPE_PYTHON" in os.environ:
        return os.environ["MEDIAPIPE_PYTHON"]
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "mediapipe==1.2.2"]
    if subprocess.run(install, timeout=500).returncode:
        pytest.skip("mediapipe cannot be installed here")
    return python


@pytest.mark.slow
def test_mediapipe_opens_the_file_and_gives_the_scores_of_keras(model, path, mediapipe_python):
    texts = [*small_examples(model.task, count=30).texts, "", "WORD1 word2, x", "word3 " * 90]
    texts += ["WÖRD1 ẞ ǅ ﬁ word2", "word1\u00a0wo\u00adrd2\u200b word3", "Ǻ σς ΣΣ"]
    ours = mediapipe_probabilities(mediapipe_python, path, texts, LABELS)
    expected = model.task.probabilities(
        model.logits(model.encode(Examples(tuple(texts), None, None)))
    )
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-3)


def test_an_error_names_a_python_that_cannot_run_mediapipe(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path}/python cannot be run: No such file"):
        check_mediapipe(tmp_path / "python")
    with pytest.raises(UserError, match=f"(?s)MediaPipe in {sys.executable} fails.*No module"):
        check_mediapipe(sys.executable)
