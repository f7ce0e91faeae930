import pytest

from tests.export.exported import MAKERS
from tests.models.small_text_models import small_examples
from tf_efficientbert.export.litert import export_litert
from tf_efficientbert.export.saved_model import export_saved_model


@pytest.fixture(scope="session")
def models():
    return {kind: make() for kind, make in MAKERS.items()}


@pytest.fixture(scope="session")
def versions(models, tmp_path_factory):
    """The folder MODEL/1 of each model's SavedModel."""
    folder = tmp_path_factory.mktemp("saved_models")
    return {
        kind: export_saved_model(model, folder / kind, small_examples(model.task))
        for kind, model in models.items()
    }


@pytest.fixture(scope="session")
def litert_files(models, tmp_path_factory):
    """Each model's LiteRT files by precision."""
    folder = tmp_path_factory.mktemp("litert")
    return {
        kind: export_litert(model, folder / kind, model.max_tokens)
        for kind, model in models.items()
    }
