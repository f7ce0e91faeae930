import numpy as np
import pytest

from tests.models.huggingface_folder import CONFIG, random_weights, write_folder
from tests.models.small_text_models import write_lines
from tf_efficientbert.models.text_model import load
from tf_efficientbert.training.fine_tune import FineTuneOptions, fine_tune

_ROWS = ["text\tlabel", *(f"piece{4 + i % 20} piece5\t{['sad', 'glad'][i % 2]}" for i in range(40))]


@pytest.mark.parametrize(
    ("names", "taken", "message"),
    [
        (
            {"0": "sad", "1": "glad"},
            True,
            "starts with its classifier, which has the task's",
        ),
        ({"0": "LABEL_0", "1": "LABEL_1"}, False, "for other labels: LABEL_0, LABEL_1"),
    ],
)
def test_a_fine_tuned_bert_s_classifier_is_taken_over_if_the_labels_are_the_task_s(
    tmp_path, caplog, names, taken, message
):
    draws = np.random.default_rng(0)
    kernel, bias = (draws.normal(size=s).astype("float32") for s in ((2, CONFIG["hidden_size"]), 2))
    weights = {f"bert.{name}": value for name, value in random_weights(CONFIG).items()}
    weights |= {"classifier.weight": kernel, "classifier.bias": bias}
    bert = write_folder(tmp_path / "bert", {**CONFIG, "id2label": names}, weights)
    caplog.set_level("INFO")
    fine_tune(
        FineTuneOptions(
            train_file=write_lines(tmp_path / "rows.tsv", _ROWS),
            split="80/20/0",
            max_tokens=11,
            teacher_dir=str(bert),
            output_dir=str(tmp_path / "run"),
            epochs=0.01,
            learning_rate=1e-12,
        )
    )
    model = load(tmp_path / "run" / "model")
    assert model.labels == ("glad", "sad")
    found = np.asarray(model.model.head.classifier.kernel)
    assert np.allclose(found, kernel.T[:, [1, 0]], atol=1e-6) == taken
    assert message in caplog.text
