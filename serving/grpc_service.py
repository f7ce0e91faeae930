"""TF Serving's gRPC services: PredictionService and ModelService."""

import contextlib
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.example_forms import classify, regress
from serving.grpc_gate import Gate
from serving.metrics import Metrics, Observation
from serving.repository import ModelRepository
from serving.request import predict_inputs, serialized_examples
from serving.servable import DEFAULT_SIGNATURE, Servable
from serving.status import ServingError, invalid
from serving.tensors import fill
from tf_efficientbert.errors import UserError

__all__ = ["make_server", "model_metadata"]

_log = logging.getLogger(__name__)

_METADATA = "signature_def"


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """All methods but MultiInference, which gives UNIMPLEMENTED."""

    def __init__(self, repository: ModelRepository, metrics: Metrics, largest: int):
        self._repository, self._metrics, self._largest = repository, metrics, largest

    def Predict(self, request, context):  # noqa: N802
        with (
            _answered(context, self._metrics, "Predict") as observation,
            self._repository.lease(request.model_spec) as servable,
        ):
            observation.model = servable.name
            signature = servable.signature(request.model_spec.signature_name)
            chosen = _chosen_outputs(signature, request.output_filter)
            inputs = predict_inputs(signature, request, self._largest)
            outputs = signature.run(inputs, _deadline(context))
            response = predict_pb2.PredictResponse(model_spec=_spec(servable, signature.name))
            for name in chosen:
                fill(response.outputs[name], outputs[name])
            return response

    def Classify(self, request, context):  # noqa: N802
        with (
            _answered(context, self._metrics, "Classify") as observation,
            self._repository.lease(request.model_spec) as servable,
        ):
            observation.model = servable.name
            name = request.model_spec.signature_name
            examples = serialized_examples(request.input)
            rows = classify(servable, name, examples, _deadline(context))
            response = classification_pb2.ClassificationResponse(
                model_spec=_spec(servable, name or DEFAULT_SIGNATURE)
            )
            for row in rows:
                classes = response.result.classifications.add().classes
                for label, score in row:
                    classes.add(label=label, score=score)
            return response

    def Regress(self, request, context):  # noqa: N802
        with (
            _answered(context, self._metrics, "Regress") as observation,
            self._repository.lease(request.model_spec) as servable,
        ):
            observation.model = servable.name
            name = request.model_spec.signature_name
            examples = serialized_examples(request.input)
            response = regression_pb2.RegressionResponse(
                model_spec=_spec(servable, name or DEFAULT_SIGNATURE)
            )
            for value in regress(servable, name, examples, _deadline(context)):
                response.result.regressions.add(value=value)
            return response

    def GetModelMetadata(self, request, context):  # noqa: N802
        with (
            _answered(context, self._metrics, "GetModelMetadata") as observation,
            self._repository.lease(request.model_spec) as servable,
        ):
            observation.model = servable.name
            if not request.metadata_field:
                raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
            unknown = sorted(set(request.metadata_field) - {_METADATA})
            if unknown:
                raise invalid(f"Metadata field {unknown} is not supported, only {_METADATA}")
            return model_metadata(servable)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, repository: ModelRepository, metrics: Metrics):
        self._repository, self._metrics = repository, metrics

    def GetModelStatus(self, request, context):  # noqa: N802
        with _answered(context, self._metrics, "GetModelStatus"):
            return self._repository.status(request.model_spec)

    def HandleReloadConfigRequest(self, request, context):  # noqa: N802
        with _answered(context, self._metrics, "HandleReloadConfigRequest"):
            if request.config.WhichOneof("config") is None:
                raise invalid("ReloadConfigRequest has no config: nothing is changed")
            self._repository.configure(request.config)
            return model_management_pb2.ReloadConfigResponse()


def model_metadata(servable: Servable) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Returns the signatures of a version."""
    signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signature_defs)
    response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=_spec(servable, ""))
    response.metadata[_METADATA].Pack(signatures)
    return response


def make_server(
    repository: ModelRepository,
    metrics: Metrics,
    address: str,
    max_request_bytes: int,
    max_requests: int,
    gate: Gate,
    ssl=None,
) -> tuple[grpc.Server, int]:
    """Creates a server that is bound but not started; returns it and its port.

    Args:
        address: host:port; port 0 for any free port.
        max_request_bytes: int; larger messages get RESOURCE_EXHAUSTED.
        max_requests: int, limit of concurrent requests, each in a thread; more get
            RESOURCE_EXHAUSTED.
        gate: intercepts every call.
        ssl: an SSLConfig, or None for plain text.

    Raises:
        UserError: the port is taken.
    """
    server = grpc.server(
        ThreadPoolExecutor(max_requests, thread_name_prefix="grpc"),
        interceptors=[gate],
        maximum_concurrent_rpcs=max_requests,
        options=[
            ("grpc.max_receive_message_length", max_request_bytes),
            ("grpc.so_reuseport", 0),  # otherwise two servers could share a port and its requests
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(repository, metrics, max_request_bytes), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        ModelService(repository, metrics), server
    )
    try:
        if ssl is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, _credentials(ssl))
    except RuntimeError as error:
        raise UserError(f"gRPC cannot listen on {address}: {error}; see --port") from error
    return server, port


def _credentials(ssl) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(ssl.server_key.encode(), ssl.server_cert.encode())],
        root_certificates=ssl.custom_ca.encode() or None,
        require_client_auth=ssl.client_verify,
    )


@contextlib.contextmanager
def _answered(context, metrics: Metrics, api: str) -> Iterator[Observation]:
    """Ends the call with the status of the block's exception, if any."""
    try:
        with metrics.request(api, "GRPC") as observation:
            yield observation
        return
    except ServingError as error:
        code, message = error.code, error.message
    except Exception as error:
        _log.exception("internal error in %s", api)
        code, message = grpc.StatusCode.INTERNAL, f"internal error: {type(error).__name__}"
    context.abort(code, message)


def _deadline(context) -> float | None:
    left = context.time_remaining()
    return None if left is None else time.monotonic() + left


def _spec(servable: Servable, signature_name: str) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=servable.name, signature_name=signature_name)
    spec.version.value = servable.version
    return spec


def _chosen_outputs(signature, output_filter) -> list[str]:
    unknown = sorted(set(output_filter) - signature.outputs.keys())
    if unknown or len(set(output_filter)) < len(output_filter):
        raise invalid(
            f"output_filter {list(output_filter)}: expected some of {sorted(signature.outputs)}, "
            "each at most once"
        )
    return list(output_filter) or list(signature.outputs)
