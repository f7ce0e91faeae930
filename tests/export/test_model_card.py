import pytest

from tests.models.small_text_models import LABELS
from tf_efficientbert.export.model_card import model_card


@pytest.fixture(scope="module")
def cards(models):
    return {kind: model_card(model, "mine") for kind, model in models.items()}


def test_a_card_describes_the_model(models, cards):
    for kind, card in cards.items():
        model = models[kind]
        assert card.startswith("# mine\n")
        assert f"{model.model.count_params():,}, head included" in card
        for formula in model.backbone.architecture.formulas:
            assert f"    {formula}\n" in card
    for label in LABELS:
        assert f"`{label}`" in cards["pair"] and f"`{label}`" not in cards["regression"]


def test_a_card_names_the_signatures_a_version_has(versions, cards):
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    for kind, card in cards.items():
        saved = SavedModel.FromString((versions[kind] / "saved_model.pb").read_bytes())
        rows = {line.split("`")[1] for line in card.splitlines() if line.startswith("| `")}
        names = set(saved.meta_graphs[0].signature_def) - {"__saved_model_init_op"}
        assert rows == names


def test_a_card_has_the_scores_that_are_given(models):
    assert "## Scores" not in model_card(models["pair"], "mine")
    card = model_card(models["pair"], "mine", {"accuracy on 7 texts": "0.5000"})
    assert card.endswith("## Scores\n\n- accuracy on 7 texts: 0.5000\n")
