"""All precisions, in files of several lengths, on real texts."""

import numpy as np
import pytest

from tests import default_task
from tests.models.small_models import small_architecture, small_task_model
from tf_efficientbert.architecture import Architecture
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.export.flatbuffer import unpack
from tf_efficientbert.export.litert import PRECISIONS, LiteRtModel, export_litert
from tf_efficientbert.models import ClassificationHead, EfficientBert, TaskModel
from tf_efficientbert.models.text_model import TextModel

_MAX_TOKENS = 40
# Relative to the logits' spread; about twice the largest measured difference.
_TOLERANCE = {"float32": 1e-5, "float16": 2e-3, "int8": 0.05, "int8_static": 0.35, "int4": 0.35}
# Upper limits relative to float32's bytes; the graph is a large part of such small files.
_SIZE = {"float16": 0.6, "int8": 0.35, "int8_static": 0.4, "int4": 0.3}


@pytest.fixture(scope="module")
def model():
    """A wide random network with a vocabulary of real words."""
    sentences = default_task.load("train").texts
    letters = sorted(set("".join(sentences).lower()) - {" "})
    words = sorted({word for sentence in sentences for word in sentence.lower().split()})
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{c}" for c in letters), *words]
    vocabulary = list(dict.fromkeys(tokens))[:3000]
    architecture = small_architecture(
        ["linear1_1(gelu(linear1_1(x,wb1)),wb2)", "tanh(linear2_2(gelu(linear2_2(x,wb1)),wb2))"],
        hidden_size=128,
        ffn_width=128,
        embedding_size=64,
    )
    sizes = {"vocabulary_size": len(vocabulary), "max_positions": _MAX_TOKENS}
    network = small_task_model("classification", architecture, **sizes)
    for weight in network.weights:
        if len(weight.shape) == 2:  # keeps the softmax from selecting a single token at this width
            weight.assign(weight * 0.5)
    return TextModel(network, Tokenizer(vocabulary), default_task.default_task(), _MAX_TOKENS)


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("precisions")
    calibration = model.encode(default_task.load("dev").first(200))
    return export_litert(model, folder, _MAX_TOKENS, PRECISIONS, calibration)


@pytest.fixture(scope="module")
def encoded(model):
    return model.encode(default_task.load("test").first(60))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_logits_of_real_sentences_are_close_to_keras(model, files, encoded, precision):
    ours, expected = LiteRtModel(files[precision]).logits(encoded), model.logits(encoded)
    difference = np.abs(ours - expected).max() / np.ptp(expected)
    assert np.ptp(expected) > 0.5
    assert difference < _TOLERANCE[precision]
    assert np.corrcoef(ours.ravel(), expected.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("precision", _SIZE)
def test_fewer_bits_make_a_smaller_file(files, precision):
    sizes = {name: path.stat().st_size for name, path in files.items()}
    assert sizes[precision] < _SIZE[precision] * sizes["float32"]


def test_signatures_share_the_weights(model, files):
    weights = 4 * model.model.count_params()
    assert files["float32"].stat().st_size < 1.1 * weights + 100_000


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_are_aligned(files, precision):
    content = files[precision].read_bytes()
    for buffer in unpack(content).buffers:
        if buffer.data is not None and len(buffer.data) > 1000:
            assert content.index(bytes(buffer.data)) % 16 == 0


def test_a_text_goes_to_the_shortest_signature_that_holds_it(model, files):
    litert = LiteRtModel(files["float32"])
    assert litert.lengths == (32, _MAX_TOKENS)
    texts = Examples(("good", "a " * 30, "a " * 31, "a " * 90), None, None)
    encoded = model.encode(texts)
    assert [litert.length_for(encoded, i) for i in range(4)] == [32, 32, 40, 40]
    np.testing.assert_allclose(litert.logits(encoded), model.logits(encoded), rtol=0, atol=2e-5)


def test_a_text_too_long_for_every_signature_is_refused(model, files):
    longer = TextModel.__new__(TextModel)
    longer.tokenizer, longer.max_tokens = model.tokenizer, _MAX_TOKENS + 1
    encoded = longer.encode(Examples(("good", "a " * 90), None, None))
    with pytest.raises(ValueError, match="an example has 41 tokens, the file takes 40"):
        LiteRtModel(files["int8"]).logits(encoded)


def test_each_length_can_be_timed(model, files, encoded):
    litert = LiteRtModel(files["int8"])
    assert litert.milliseconds(encoded, runs=3) > 0
    short = model.encode(Examples(("good",), None, None))
    assert litert.milliseconds(short, runs=3, tokens=32) > 0


@pytest.mark.slow
def test_the_paper_s_student_with_four_lengths_is_small(tmp_path):
    architecture = Architecture.from_preset("efficientbert")
    network = TaskModel(
        EfficientBert(architecture), ClassificationHead(architecture.hidden_size, 2)
    )
    vocabulary = [*("[PAD]", "[UNK]", "[CLS]", "[SEP]"), *(f"word{n}" for n in range(30522 - 4))]
    model = TextModel(network, Tokenizer(vocabulary), default_task.default_task(), 384)
    files = export_litert(model, tmp_path, 384, ("int8", "int4"), None)
    assert files["int8"].stat().st_size <= 17e6
    assert files["int4"].stat().st_size <= 10e6
    assert len(LiteRtModel(files["int8"]).lengths) == 4
