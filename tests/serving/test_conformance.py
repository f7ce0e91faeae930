"""All supported calls of TF Serving's protocols, with real clients."""

import json
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.client_error import RequestError
from tests.models.small_text_models import LABELS, small_text_model


def post(server, path: str, body) -> tuple[int, dict]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(f"http://{server.rest}/v1/models/{path}", data) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def get(server, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{server.rest}{path}") as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


# === Both protocols ===


def test_predict_returns_every_row_by_output_name(connect):
    outputs = connect().predict({"text": ["a", "abcdef"]})
    assert outputs["length"].tolist() == [1.0, 6.0]
    assert outputs["label"].tolist() == [b"bad", b"good"]
    assert outputs["version"].tolist() == [2, 2]


def test_version_and_label_select_the_version(connect):
    text = {"text": ["a"]}
    assert connect(version=1).predict(text)["version"].tolist() == [1]
    assert connect(label="stable").predict(text)["version"].tolist() == [1]
    assert connect(label="canary").predict(text)["version"].tolist() == [2]


def test_a_signature_of_two_texts_takes_both(connect):
    given = {"text": ["a", "b"], "second_text": ["a", "c"]}
    assert connect().predict(given, "pair")["same"].tolist() == [True, False]


def test_tokens_are_numbers_of_rank_two(connect):
    ids = np.array([[1, 2, 3], [4, 5, 6]], np.int32)
    given = {"input_word_ids": ids, "input_mask": ids * 0 + 1, "input_type_ids": ids * 0}
    assert connect().predict(given, "tokens")["logits"].tolist() == [6.0, 15.0]


def test_bytes_arrive_as_they_were_sent(connect):
    assert connect().predict({"text": [b"\xff\x00z"]})["first_bytes"].tolist() == [b"\xff"]


def test_serialized_examples_are_accepted_as_input(connect):
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"abc"]))
    example = tf.train.Example(features=tf.train.Features(feature={"text": feature}))
    given = {"examples": [example.SerializeToString()]}
    assert connect().predict(given, "serving_examples")["length"].tolist() == [3.0]


def test_a_scalar_is_an_input_and_an_output(connect):
    given = {"x": np.float32(1.5)}
    assert connect().predict(given, "plus_one")["y"].tolist() == 2.5


def test_more_rows_than_a_batch_holds_come_back_in_order(connect):
    texts = ["a" * (1 + i % 7) for i in range(100)]
    assert connect().predict({"text": texts})["length"].tolist() == [len(t) for t in texts]


def test_classify_returns_classes_with_scores(connect):
    rows = connect().classify([{"text": "a"}, {"text": "abcdefghi"}])
    assert [[label for label, _ in row] for row in rows] == [["bad", "good"]] * 2
    assert rows[0][0][1] == pytest.approx(1 / (1 + np.exp(-4)), rel=1e-5)
    assert rows[1][1][1] == pytest.approx(1 / (1 + np.exp(-4)), rel=1e-5)


def test_regress_returns_values(connect):
    assert connect().regress([{"text": "a"}, {"text": "abc"}]) == [1.0, 3.0]


@pytest.mark.parametrize(("form", "other"), [("classify", "regress"), ("regress", "classify")])
def test_classify_and_regress_need_their_own_signatures(connect, form, other):
    for signature in (other, ""):
        with pytest.raises(RequestError, match=f"tensorflow/serving/{form}") as error:
            getattr(connect(), form)([{"text": "a"}], signature)
        assert error.value.code == "INVALID_ARGUMENT"


def test_status_lists_the_newest_version_first(connect):
    assert connect().status() == {2: ("AVAILABLE", ""), 1: ("AVAILABLE", "")}
    assert list(connect().status()) == [2, 1]
    assert connect(version=1).status() == {1: ("AVAILABLE", "")}


def test_metadata_lists_the_signatures(connect):
    answer = connect().metadata()
    assert answer["model_spec"]["name"] == "words"
    assert answer["model_spec"]["version"] == "2"
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert signatures["classify"]["method_name"] == "tensorflow/serving/classify"
    assert signatures["serving_default"]["inputs"]["text"]["dtype"] == "DT_STRING"
    assert not any(name.startswith("__") for name in signatures)


def test_an_exported_classifier_gives_the_model_s_outputs(connect):
    model, text = small_text_model(), "word1 word2 word3"
    outputs = connect("reviews").predict({"text": [text]})
    logits = model.model(_encoded(model, text))["logits"]
    np.testing.assert_allclose(outputs["logits"], np.asarray(logits), atol=1e-5)
    assert outputs["label"][0].decode() in LABELS


def test_an_exported_regression_gives_the_model_s_value(connect):
    model, text = small_text_model("regression"), "word1 word2 word3"
    (value,) = connect("stars").regress([{"text": text}])
    assert value == pytest.approx(model.predict([text])[0].score, abs=1e-5)


def _encoded(model, text: str) -> dict:
    ids, segments = model.tokenizer.encode([text], max_tokens=model.max_tokens)
    return {
        "token_ids": ids.to_tensor(),
        "padding_mask": tf.ones_like(ids).to_tensor(),
        "segment_ids": segments.to_tensor(),
    }


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"model": "nobody"}, "NOT_FOUND"),
        ({"version": 99}, "NOT_FOUND"),
        ({"label": "gone"}, "INVALID_ARGUMENT"),
    ],
)
def test_an_unknown_model_version_or_label_is_an_error(connect, arguments, code):
    with pytest.raises(RequestError) as error:
        connect(**arguments).predict({"text": ["a"]})
    assert error.value.code == code
    with pytest.raises(RequestError):
        connect(**arguments).status()


# === gRPC only ===


@pytest.fixture(scope="module")
def predictions(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def text_request(*texts: bytes, signature="", model="words") -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    request.inputs["text"].CopyFrom(tf.make_tensor_proto(list(texts)))
    return request


def test_a_response_names_model_version_and_signature(predictions):
    spec = predictions.Predict(text_request(b"a")).model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("words", 2, "serving_default")


def test_values_of_a_response_are_in_the_typed_field(predictions):
    assert list(predictions.Predict(text_request(b"ab")).outputs["length"].float_val) == [2.0]


def test_an_output_filter_selects_outputs(predictions):
    request = text_request(b"a")
    request.output_filter.append("label")
    assert set(predictions.Predict(request).outputs) == {"label"}
    request.output_filter.append("nothing")
    with pytest.raises(grpc.RpcError) as error:
        predictions.Predict(request)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_an_unknown_signature_is_a_failed_precondition_as_in_tf_serving(predictions):
    with pytest.raises(grpc.RpcError) as error:
        predictions.Predict(text_request(b"a", signature="gone"))
    assert error.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "'gone' not found" in error.value.details()


def test_tensor_content_is_read_like_typed_values(predictions):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "words", "tokens"
    ids = np.array([[7, 8]], np.int32)
    for name, values in [("word_ids", ids), ("mask", ids * 0 + 1), ("type_ids", ids * 0)]:
        request.inputs[f"input_{name}"].CopyFrom(tf.make_tensor_proto(values))
    assert request.inputs["input_word_ids"].tensor_content
    assert list(predictions.Predict(request).outputs["logits"].float_val) == [15.0]


def test_the_context_of_examples_is_part_of_each(predictions):
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name, request.model_spec.signature_name = "words", "classify"
    given = request.input.example_list_with_context
    given.context.features.feature["text"].bytes_list.value.append(b"abcdefghi")
    given.examples.add()
    given.examples.add().features.feature["text"].bytes_list.value.append(b"a")
    first, second = predictions.Classify(request).result.classifications
    assert first.classes[1].score > 0.5 > second.classes[1].score


def test_metadata_needs_a_field(predictions):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "words"
    with pytest.raises(grpc.RpcError) as error:
        predictions.GetModelMetadata(request)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_unsupported_calls_are_unimplemented(predictions):
    with pytest.raises(grpc.RpcError) as error:
        predictions.MultiInference(inference_pb2.MultiInferenceRequest())
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_reload_without_a_config_changes_nothing(server, connect):
    with grpc.insecure_channel(server.grpc) as channel:
        models = model_service_pb2_grpc.ModelServiceStub(channel)
        with pytest.raises(grpc.RpcError) as error:
            models.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest())
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert connect().predict({"text": ["a"]})["length"].tolist() == [1.0]


# === REST only ===


def test_rows_of_several_outputs_are_objects(server):
    status, answer = post(server, "words:predict", {"instances": ["a"]})
    assert status == 200
    (row,) = answer["predictions"]
    assert row == {"first_bytes": {"b64": "YQ=="}, "label": "bad", "length": 1.0, "version": 2}


def test_rows_of_one_output_are_values(server):
    rows = [
        {"input_word_ids": [1, 2], "input_mask": [1, 1], "input_type_ids": [0, 0]},
        {"input_word_ids": [3, 4], "input_mask": [1, 0], "input_type_ids": [0, 0]},
    ]
    given = {"signature_name": "tokens", "instances": rows}
    assert post(server, "words:predict", given) == (200, {"predictions": [3.0, 3.0]})


def test_columns_of_one_input_need_no_name(server):
    status, answer = post(server, "words:predict", {"inputs": ["a", "ab"]})
    assert (status, answer["outputs"]["length"]) == (200, [1.0, 2.0])


def test_bytes_are_base64_in_rows_and_columns(server):
    for given in (
        {"instances": [{"b64": "/wB6"}]},
        {"instances": [{"text": {"b64": "/wB6"}}]},
        {"inputs": [{"b64": "/wB6"}]},
        {"inputs": {"text": [{"b64": "/wB6"}]}},
    ):
        status, answer = post(server, "words:predict", given)
        column = answer.get("outputs", {}).get("length")
        assert status == 200
        assert column == [3.0] or answer["predictions"][0]["length"] == 3.0


def test_versions_and_labels_are_parts_of_the_path(server):
    for path, version in [("versions/1", 1), ("labels/stable", 1), ("labels/canary", 2)]:
        status, answer = post(server, f"words/{path}:predict", {"inputs": ["a"]})
        assert (status, answer["outputs"]["version"]) == (200, [version])


def test_classify_accepts_a_context_and_returns_pairs(server):
    given = {
        "signature_name": "classify",
        "context": {"text": "abcdefghi"},
        "examples": [{}, {"text": {"b64": "YQ=="}}],
    }
    status, answer = post(server, "words:classify", given)
    assert status == 200
    (first, second) = answer["results"]
    assert [label for label, _ in first] == ["bad", "good"]
    assert first[1][1] > 0.5 > second[1][1]


def test_the_status_page_has_tf_servings_form(server):
    status, text = get(server, "/v1/models/words/versions/1")
    assert status == 200
    assert json.loads(text) == {
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }


def test_health_and_readiness_are_served(server):
    assert get(server, "/healthz")[0] == 200
    assert get(server, "/readyz")[0] == 200


def test_metrics_count_requests_batches_and_times(server):
    post(server, "words:predict", {"inputs": ["a"]})
    status, text = get(server, "/monitoring/prometheus/metrics")
    assert status == 200
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(lines[':tensorflow:serving:request_count{model_name="words",status="OK"}']) >= 1
    latency = ':tensorflow:serving:request_latency_count{API="Predict",entrypoint="REST",'
    assert float(lines[latency + 'model_name="words"}']) >= 1
    assert float(lines['local_server:batch_rows_sum{model_name="words"}']) >= 1
