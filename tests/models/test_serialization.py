import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.models.small_models import (
    random_inputs,
    small_architecture,
    small_backbone,
    small_task_model,
)

# Constructor arguments of models; together they set every argument.
_TASK_MODELS = {
    "classification": {"kind": "classification"},
    "regression on a bert embedding": {
        "kind": "regression",
        "architecture": small_architecture(embedding="bert", channel_mismatch="slice"),
    },
    "span with fit projection": {"kind": "span", "fit_size": 10},
    "padded formulas": {
        "architecture": small_architecture(
            ["linear1_2(relu(add(linear1_2(x,wb1),x)),wb2)"],
            ffn_width=96,
            channel_mismatch="pad",
        )
    },
    "a teacher's form": {
        "architecture": small_architecture().with_ordinary_cells(),
        "exact_gelu": True,
        "layer_norm_epsilon": 0.01,
        "dropout": 0.0,
    },
    "bfloat16": {"dtype": "mixed_bfloat16", "fit_size": 10},
}


def _assert_equal_outputs(ours, theirs):
    assert ours.keys() == theirs.keys()
    for one, other in zip(keras.tree.flatten(ours), keras.tree.flatten(theirs), strict=True):
        one, other = (np.asarray(value, dtype=np.float32) for value in (one, other))
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def _assert_equal_configs(ours, theirs):
    assert ours.name == theirs.name
    assert ours.backbone.get_config() == theirs.backbone.get_config()
    assert ours.backbone.architecture == theirs.backbone.architecture
    assert type(ours.head) is type(theirs.head)
    assert ours.head.get_config() == theirs.head.get_config()


@pytest.mark.parametrize("arguments", _TASK_MODELS.values(), ids=_TASK_MODELS)
def test_a_saved_task_model_gives_the_same_outputs(tmp_path, arguments):
    model = small_task_model(**arguments)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    _assert_equal_outputs(loaded(random_inputs()), model(random_inputs()))
    _assert_equal_configs(loaded, model)


@pytest.mark.parametrize("arguments", [{}, {"fit_size": 10}, {"exact_gelu": True}], ids=str)
def test_a_saved_backbone_gives_the_same_outputs(tmp_path, arguments):
    model = small_backbone(**arguments)
    model.save(tmp_path / "backbone.keras")
    loaded = keras.saving.load_model(tmp_path / "backbone.keras")
    _assert_equal_outputs(loaded(random_inputs()), model(random_inputs()))
    assert loaded.get_config() == model.get_config()


def test_weights_alone_can_be_saved_and_loaded(tmp_path):
    model, other = small_task_model(seed=1), small_task_model(seed=2)
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    _assert_equal_outputs(other(random_inputs()), model(random_inputs()))


@pytest.mark.parametrize("kind", ["classification", "span"])
def test_a_config_is_json_and_gives_the_same_model_twice(kind):
    model = small_task_model(kind, dtype="mixed_bfloat16", dropout=0.3)
    config = keras.saving.serialize_keras_object(model)
    text = json.dumps(config)
    for _ in range(2):
        copy = keras.saving.deserialize_keras_object(config)
        _assert_equal_configs(copy, model)
    assert json.dumps(config) == text


def test_a_config_contains_every_argument():
    arguments = {
        "vocabulary_size": 33,
        "max_positions": 9,
        "fit_size": 10,
        "layer_norm_epsilon": 0.01,
        "exact_gelu": True,
        "dropout": 0.3,
    }
    model = small_backbone(**arguments)
    config = json.loads(json.dumps(model.get_config()))
    copy = type(model).from_config(config)
    assert arguments.items() <= copy.get_config().items()
    assert copy.architecture == model.architecture
    assert copy.embedding.layer_norm.epsilon == copy.cells[0].feed_forwards[0].layer_norm.epsilon
    assert copy.attentions[0].dropout_layer.rate == copy.embedding.dropout_layer.rate == 0.3


_FRESH_PROCESS = """
import sys
import keras
import numpy as np
import tf_efficientbert.tasks
import tf_efficientbert.models.task_model

folder = sys.argv[1]
for kind in ("classification", "span"):
    model = keras.saving.load_model(f"{folder}/{kind}.keras")
    outputs = model(dict(np.load(f"{folder}/inputs.npz")))
    logits = {name: np.asarray(outputs[name]) for name in outputs if name.endswith("logits")}
    np.savez(f"{folder}/{kind}_logits.npz", **logits)
"""


def test_a_new_process_loads_a_saved_model(tmp_path):
    models = {kind: small_task_model(kind, fit_size=10) for kind in ("classification", "span")}
    for kind, model in models.items():
        model.save(tmp_path / f"{kind}.keras")
    np.savez(tmp_path / "inputs.npz", **random_inputs())
    command = [sys.executable, "-c", _FRESH_PROCESS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    for kind, model in models.items():
        outputs, logits = model(random_inputs()), np.load(tmp_path / f"{kind}_logits.npz")
        assert len(logits.files) == {"classification": 1, "span": 2}[kind]
        for name in logits.files:
            np.testing.assert_allclose(logits[name], outputs[name], rtol=1e-6, atol=1e-6)
