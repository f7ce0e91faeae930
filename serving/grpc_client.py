"""A client of TF Serving's gRPC API, for this project's local server and for TF Serving itself."""

from pathlib import Path

import grpc
import numpy as np
from google.protobuf import json_format
from tensorflow.core.example import feature_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    input_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.client_error import RequestError
from serving.client_values import as_array
from serving.retry import with_retries
from serving.tensors import TensorSpec, fill, to_array

__all__ = ["GrpcClient"]


class GrpcClient:
    """Sends requests to one model of a server.

    Args:
        server: host:port.
        model: the model's name.
        version, label: version or label of the model, at most one; default: the newest version.
        deadline_seconds: float, for a call with all its retries.
        retries: int, the most retries of a call that fails with UNAVAILABLE.
        tls: bool, whether to encrypt the connection.
        ca_file: certificates to trust instead of the system's; implies `tls`.
        max_message_bytes: int, the largest response.
    """

    def __init__(
        self,
        server: str,
        model: str,
        version: int | None = None,
        label: str = "",
        deadline_seconds: float = 10.0,
        retries: int = 5,
        tls: bool = False,
        ca_file: str = "",
        max_message_bytes: int = 64 * 1024 * 1024,
    ):
        self._spec = model_pb2.ModelSpec(name=model)
        if version is not None:
            self._spec.version.value = version
        elif label:
            self._spec.version_label = label
        self._deadline, self._retries = deadline_seconds, retries
        options = [
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.lb_policy_name", "round_robin"),  # if a name resolves to several servers
        ]
        if tls or ca_file:
            trusted = Path(ca_file).read_bytes() if ca_file else None
            credentials = grpc.ssl_channel_credentials(root_certificates=trusted)
            self._channel = grpc.secure_channel(server, credentials, options)
        else:
            self._channel = grpc.insecure_channel(server, options)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(self, inputs: dict, signature: str = "") -> dict[str, np.ndarray]:
        """Returns outputs by name. `inputs`: arrays, or lists of numbers, str or bytes, by name."""
        request = predict_pb2.PredictRequest(model_spec=self._named(signature))
        for name, values in inputs.items():
            fill(request.inputs[name], as_array(values))
        response = self._call(self._predictions.Predict, request)
        return {name: _from_proto(name, proto) for name, proto in response.outputs.items()}

    def classify(
        self, features: list[dict], signature: str = "classify"
    ) -> list[list[tuple[str, float]]]:
        """Returns classes and scores of each example. `features`: its text features by name."""
        request = classification_pb2.ClassificationRequest(model_spec=self._named(signature))
        _add_examples(request.input, features)
        response = self._call(self._predictions.Classify, request)
        return [
            [(each.label, each.score) for each in row.classes]
            for row in response.result.classifications
        ]

    def regress(self, features: list[dict], signature: str = "regress") -> list[float]:
        """Returns the value of each example. `features`: its text features by name."""
        request = regression_pb2.RegressionRequest(model_spec=self._named(signature))
        _add_examples(request.input, features)
        response = self._call(self._predictions.Regress, request)
        return [each.value for each in response.result.regressions]

    def metadata(self) -> dict:
        """Returns the model's signatures, as JSON."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self._spec, metadata_field=["signature_def"]
        )
        response = self._call(self._predictions.GetModelMetadata, request)
        return json_format.MessageToDict(response, preserving_proto_field_name=True)

    def status(self) -> dict[int, tuple[str, str]]:
        """Returns {version: (state, error message)}."""
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=self._spec)
        response = self._call(self._models.GetModelStatus, request)
        states = get_model_status_pb2.ModelVersionStatus.State
        return {
            entry.version: (states.Name(entry.state), entry.status.error_message)
            for entry in response.model_version_status
        }

    def reload_config(self, config) -> None:
        """Sends a ModelServerConfig to the server."""
        request = model_management_pb2.ReloadConfigRequest(config=config)
        response = self._call(self._models.HandleReloadConfigRequest, request)
        if response.status.error_code:
            code = {c.value[0]: c.name for c in grpc.StatusCode}[response.status.error_code]
            raise RequestError(code, response.status.error_message)

    def close(self) -> None:
        self._channel.close()

    def _named(self, signature: str) -> model_pb2.ModelSpec:
        spec = model_pb2.ModelSpec()
        spec.CopyFrom(self._spec)
        spec.signature_name = signature
        return spec

    def _call(self, method, request):
        def attempt(seconds: float):
            try:
                return method(request, timeout=seconds)
            except grpc.RpcError as error:
                raise RequestError(error.code().name, error.details() or "") from error

        return with_retries(attempt, self._deadline, self._retries)


def _from_proto(name: str, proto) -> np.ndarray:
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    return to_array(name, proto, TensorSpec(name, proto.dtype, shape), largest=2**62)


def _add_examples(given: input_pb2.Input, features: list[dict]) -> None:
    for texts in features:
        example = given.example_list.examples.add()
        for name, text in texts.items():
            example.features.feature[name].CopyFrom(_text_feature(text))


def _text_feature(text: str | bytes) -> feature_pb2.Feature:
    value = text if isinstance(text, bytes) else text.encode()
    return feature_pb2.Feature(bytes_list=feature_pb2.BytesList(value=[value]))
