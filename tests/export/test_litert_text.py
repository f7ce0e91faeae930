import numpy as np
import pytest

from tests.export.exported import PADDED, SLICED, TEACHER
from tests.models.small_text_models import small_examples, small_text_model
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.litert_text import LiteRtTextModel, export_litert_text

_MODELS = {
    "pair": lambda: small_text_model("pair", PADDED, seed=1),
    "regression": lambda: small_text_model("regression", TEACHER, seed=2, exact_gelu=True),
}


@pytest.fixture(scope="module", params=_MODELS)
def exported(request, tmp_path_factory):
    model = _MODELS[request.param]()
    path = tmp_path_factory.mktemp("text") / "text.tflite"
    return model, LiteRtTextModel(export_litert_text(model, path, model.max_tokens))


def test_logits_of_text_equal_keras(exported):
    model, litert = exported
    examples = small_examples(model.task, count=40)
    expected = model.logits(model.encode(examples))
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(litert.logits(examples), expected, rtol=0, atol=1e-5)


# Relative to the logits' spread; about twice the largest measured difference.
@pytest.mark.parametrize(("precision", "tolerance"), [("float16", 2e-3), ("int8", 0.1)])
def test_logits_in_other_precisions_are_close_to_keras(tmp_path, precision, tolerance):
    model = small_text_model("classification", SLICED)
    path = export_litert_text(model, tmp_path / "text.tflite", model.max_tokens, precision)
    examples = small_examples(model.task, count=40)
    expected = model.logits(model.encode(examples))
    difference = np.abs(LiteRtTextModel(path).logits(examples) - expected).max()
    assert 0 < difference < tolerance * np.ptp(expected)


def test_logits_of_odd_and_long_text_equal_keras(exported):
    model, litert = exported
    odd = "Ｗord1 word2™ word3½ wor\u200bd4 ςword5 " + "к" * 60
    texts = ("", "\U0001f600 東京 \x01", "word1 " * 500, "Word2 WÖRD3", "word1 " * 7, odd)
    second = texts[::-1] if model.task.pair else None
    examples = Examples(texts, second, None)
    expected = model.logits(model.encode(examples))
    np.testing.assert_allclose(litert.logits(examples), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("lengths", [(3, 3), (20, 3), (3, 20), (20, 20), (7, 6), (6, 8), (0, 9)])
@pytest.mark.parametrize("max_tokens", [16, 15])
def test_padded_encoding_of_pairs_equals_the_ragged_one(lengths, max_tokens):
    tokenizer = _MODELS["pair"]().tokenizer
    texts = [[" ".join(f"word{i}" for i in range(n))] for n in lengths]
    ids, segments = tokenizer.encode(*texts, max_tokens=max_tokens)
    ours, our_segments, mask = tokenizer.encode_padded(*texts, max_tokens=max_tokens)
    length = int(ids.row_lengths()[0])
    assert ours.shape == our_segments.shape == (1, max_tokens)
    assert mask.numpy().tolist() == [[1] * length + [0] * (max_tokens - length)]
    assert ours[0, :length].numpy().tolist() == ids[0].numpy().tolist()
    assert our_segments[0, :length].numpy().tolist() == segments[0].numpy().tolist()
    assert not ours[0, length:].numpy().any()


def test_unsupported_precisions_are_refused(tmp_path):
    with pytest.raises(UserError, match="text files have no precision 'int4'"):
        export_litert_text(small_text_model("pair"), tmp_path / "x", 8, "int4")
