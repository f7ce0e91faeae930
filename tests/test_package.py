import subprocess
import sys

import pytest

import tf_efficientbert as teb

_QUICK_IMPORT = """
import sys
import tf_efficientbert as teb

architecture = teb.Architecture.from_preset("efficientbert")
assert teb.CellSpec.ordinary() and issubclass(teb.UserError, Exception)
assert architecture.count_parameters() > 15_000_000
slow = {"tensorflow", "keras", "keras_hub", "numpy", "tensorflow_text"} & set(sys.modules)
assert not slow, slow

assert teb.architecture.Architecture is teb.Architecture
assert not slow & set(sys.modules)
teb.models
assert "tensorflow" in sys.modules
"""


def test_architectures_do_not_need_tensorflow():
    command = [sys.executable, "-c", _QUICK_IMPORT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    "name",
    [
        "Architecture.from_formulas",
        "Architecture.from_json",
        "Architecture.from_preset",
        "architecture.expression.is_valid",
        "architecture.expression.widths_fit",
        "distillation.losses.attention_loss",
        "distillation.losses.hidden_loss",
        "distillation.losses.prediction_loss",
        "export.export_huggingface",
        "export.export_litert",
        "export.export_saved_model",
        "metrics.glue.compute",
        "metrics.squad.compute",
        "models.EfficientBert",
        "models.load",
        "models.load_reference_weights",
        "pipeline.PipelineOptions",
        "pipeline.run_pipeline",
    ],
)
def test_public_functions_are_reachable_from_the_package(name):
    found = teb
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)


@pytest.mark.parametrize("name", ["model", "losses", "_nothing"])
def test_a_missing_name_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match=f"'tf_efficientbert' has no attribute '{name}'"):
        getattr(teb, name)


def test_every_name_in_all_exists():
    for name in teb.__all__:
        assert getattr(teb, name) is not None
