import time

import numpy as np
import pytest

from tests.export.exported import SLICED, TEACHER
from tests.models.small_models import MAX_POSITIONS, small_task_model
from tests.models.small_text_models import TASKS, VOCABULARY, small_examples, small_text_model
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.litert import DEFAULT_PRECISIONS, LiteRtModel, export_litert
from tf_efficientbert.models.text_model import TextModel

# Relative to the logits' spread; about twice the largest measured difference.
_INT8_TOLERANCE = 0.1


def _answers(model, path, threads=1):
    encoded = model.encode(small_examples(model.task))
    return LiteRtModel(path, threads).logits(encoded), model.logits(encoded)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", TASKS)
def test_float32_logits_equal_keras(models, litert_files, kind, threads):
    ours, expected = _answers(models[kind], litert_files[kind]["float32"], threads)
    assert ours.shape == expected.shape and np.ptp(expected) > 0.1
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", TASKS)
def test_int8_logits_are_close_to_keras_and_files_are_smaller(models, litert_files, kind):
    files = litert_files[kind]
    ours, expected = _answers(models[kind], files["int8"])
    difference = np.abs(ours - expected).max() / np.ptp(expected)
    assert 0 < difference < _INT8_TOLERANCE
    assert files["int8"].stat().st_size < files["float32"].stat().st_size


@pytest.mark.parametrize("kind", TASKS)
def test_a_file_is_written_for_each_precision_and_nothing_else(litert_files, kind):
    folder = litert_files[kind]["float32"].parent
    names = {path.name for path in folder.iterdir()}
    assert names == {f"model_{precision}.tflite" for precision in DEFAULT_PRECISIONS}


def test_a_file_has_the_length_it_was_written_for(litert_files):
    assert LiteRtModel(litert_files["pair"]["int8"]).lengths == (MAX_POSITIONS,)


@pytest.mark.slow
def test_one_file_takes_short_and_long_texts(tmp_path):
    network = small_task_model("classification", SLICED, max_positions=384)
    model = TextModel(network, Tokenizer(VOCABULARY), TASKS["classification"], 384)
    files = export_litert(model, tmp_path, 384, ("float32", "int8"))
    counts = (5, 31, 50, 100, 300, 500)
    texts = tuple(" ".join(f"word{i % 7 + 1}" for i in range(count)) for count in counts)
    encoded = model.encode(Examples(texts, None, None))
    expected = model.logits(encoded)
    for precision, tolerance in (("float32", 1e-5), ("int8", _INT8_TOLERANCE * np.ptp(expected))):
        litert = LiteRtModel(files[precision])
        assert litert.lengths == (32, 64, 128, 384)
        chosen = [litert.length_for(encoded, i) for i in range(len(encoded))]
        assert chosen == [32, 64, 64, 128, 384, 384]
        np.testing.assert_allclose(litert.logits(encoded), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"precisions": ("float32", "int7")},
            "unknown precision 'int7'; expected one of .*int4",
        ),
        ({"precisions": ("int8_static",)}, "int8_static needs text of the task"),
    ],
)
def test_invalid_precisions_are_refused_and_nothing_is_written(tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        export_litert(small_text_model(architecture=TEACHER), tmp_path, 8, **arguments)
    assert not list(tmp_path.iterdir())


def test_latency_is_a_time_in_milliseconds(models, litert_files):
    model = models["classification"]
    litert = LiteRtModel(litert_files["classification"]["float32"])
    encoded = model.encode(small_examples(model.task))
    assert 0.001 < litert.milliseconds(encoded, runs=5) < 1000


def test_latency_is_the_median_of_the_runs_after_warming_up(models, monkeypatch):
    milliseconds = [9000, 9000, 9000, 1, 5000, 2, 3, 4]  # of each call, the first three to warm up
    asked = []

    class Interpreter:
        def __init__(self, **_):
            pass

        def get_signature_list(self):
            return ["tokens_16"]

        def get_signature_runner(self, name):
            return self.run

        def run(self, token_ids, **_):
            asked.append(token_ids)
            return {"logits": np.zeros((1, 3))}

    monkeypatch.setattr("ai_edge_litert.interpreter.Interpreter", Interpreter)
    monkeypatch.setattr(time, "perf_counter", lambda: sum(milliseconds[: len(asked)]) / 1000)
    encoded = models["classification"].encode(small_examples(TASKS["classification"], count=4))
    assert LiteRtModel("any.tflite").milliseconds(encoded, runs=5) == pytest.approx(3.0)
    assert len(asked) == 8
    np.testing.assert_array_equal(
        np.concatenate(asked[-5:]), encoded.padded(np.array([0, 1, 2, 3, 0]), 16)["token_ids"]
    )
