import pytest

from tests.models.small_models import small_architecture
from tests.models.small_text_models import TASKS, small_examples, small_text_model, write_examples

_ONE_LAYER = small_architecture(["linear1_1(gelu(linear1_1(x,wb1)),wb2)"])


@pytest.fixture(scope="session")
def models():
    return {kind: small_text_model(kind, _ONE_LAYER) for kind in TASKS}


@pytest.fixture(scope="session")
def folders(models, tmp_path_factory):
    """The folder of each saved model."""
    root = tmp_path_factory.mktemp("models")
    for kind, model in models.items():
        model.save(root / kind)
    return {kind: str(root / kind) for kind in models}


@pytest.fixture(scope="session")
def examples():
    return {kind: small_examples(task, count=30) for kind, task in TASKS.items()}


@pytest.fixture(scope="session")
def files(examples, tmp_path_factory):
    """A .tsv file with each task's examples."""
    root = tmp_path_factory.mktemp("files")
    return {
        kind: write_examples(root / f"{kind}.tsv", TASKS[kind], examples[kind]) for kind in TASKS
    }
