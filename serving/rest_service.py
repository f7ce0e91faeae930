"""TF Serving's RESTful API, and health checks."""

import dataclasses
import json
import logging
import re
import time
import urllib.parse
from collections.abc import Callable

import grpc
from tensorflow_serving.apis import model_pb2

from serving import rest_json
from serving.example_forms import classify, regress
from serving.grpc_service import model_metadata
from serving.metrics import Metrics
from serving.repository import ModelRepository
from serving.status import ServingError, invalid

__all__ = ["Answer", "RestService", "error_answer"]

_MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(_MODEL + r":(?P<verb>predict|classify|regress)")
_GET = re.compile(_MODEL + r"(?P<metadata>/metadata)?")
_EXAMPLE_FORMS = {"classify": classify, "regress": regress}
_log = logging.getLogger(__name__)

_HIGHEST_VERSION = 2**63 - 1

_HTTP = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


@dataclasses.dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int
    body: bytes
    content_type: str = "application/json"


def error_answer(status: int, message: str) -> Answer:
    return Answer(status, json.dumps({"error": message}).encode())


class RestService:
    """Turns a method, path and body into a response; independent of sockets.

    Args:
        repository: the served models.
        metrics: counts requests.
        timeout_seconds: float, the deadline of every request.
        metrics_path: path of the metrics; empty for none.
        ready: returns whether the server accepts requests.
    """

    def __init__(
        self,
        repository: ModelRepository,
        metrics: Metrics,
        timeout_seconds: float,
        metrics_path: str,
        ready: Callable[[], bool],
    ):
        self._repository, self._metrics = repository, metrics
        self._timeout = timeout_seconds
        self._metrics_path, self._ready = metrics_path, ready

    def post(self, path: str, body: bytes) -> Answer:
        match = _POST.fullmatch(path)
        if not match:
            return error_answer(404, f"Malformed request: POST {path}")
        verb = match["verb"]
        return self._answer(verb.capitalize(), lambda seen: self._run(match, verb, body, seen))

    def get(self, path: str) -> Answer:
        if self._metrics_path and path == self._metrics_path:
            return Answer(200, self._metrics.text(), "text/plain; version=0.0.4; charset=utf-8")
        if path == "/healthz":
            return Answer(200, b'{"status": "alive"}')
        if path == "/readyz":
            return self._readiness()
        match = _GET.fullmatch(path)
        if not match:
            return error_answer(404, f"Malformed request: GET {path}")
        if match["metadata"]:
            return self._answer("GetModelMetadata", lambda seen: self._metadata(match, seen))
        return self._answer(
            "GetModelStatus",
            lambda _: rest_json.message_json(self._repository.status(_spec(match))),
        )

    def _answer(self, api: str, work: Callable) -> Answer:
        try:
            with self._metrics.request(api, "REST") as observation:
                return Answer(200, json.dumps(work(observation)).encode())
        except ServingError as error:
            return error_answer(_HTTP.get(error.code, 500), error.message)
        except Exception as error:
            _log.exception("internal error in %s", api)
            return error_answer(500, f"internal error: {type(error).__name__}")

    def _run(self, match, verb: str, body: bytes, observation) -> dict:
        deadline = time.monotonic() + self._timeout
        with self._repository.lease(_spec(match)) as servable:
            observation.model = servable.name
            given = rest_json.parse(body)
            name = given.get("signature_name", "")
            if verb in _EXAMPLE_FORMS:
                examples = rest_json.examples_of(given)
                return {"results": _EXAMPLE_FORMS[verb](servable, name, examples, deadline)}
            signature = servable.signature(name)
            inputs, row_form = rest_json.predict_inputs(signature, given)
            return rest_json.predicted(signature.run(inputs, deadline), row_form)

    def _metadata(self, match, observation) -> dict:
        with self._repository.lease(_spec(match)) as servable:
            observation.model = servable.name
            return rest_json.message_json(model_metadata(servable))

    def _readiness(self) -> Answer:
        if not self._ready():
            return error_answer(503, "the server is shutting down")
        waiting = self._repository.waiting_for()
        if waiting:
            return error_answer(503, f"no version available of {', '.join(waiting)}")
        return Answer(200, b'{"status": "ready"}')


def _spec(match: re.Match) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=_decoded(match["name"]))
    if match["version"]:
        if len(match["version"]) > 19 or int(match["version"]) > _HIGHEST_VERSION:
            raise invalid(f"Failed to convert version: {match['version'][:30]} to numeric.")
        spec.version.value = int(match["version"])
    elif match["label"]:
        spec.version_label = _decoded(match["label"])
    return spec


def _decoded(text: str) -> str:
    return urllib.parse.unquote(text, errors="replace")
