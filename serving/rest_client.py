"""A client of TF Serving's REST API, without TensorFlow and gRPC."""

import base64
import http.client
import json
import ssl
import threading
import urllib.parse

import numpy as np

from serving.client_error import RequestError
from serving.client_values import as_array
from serving.retry import with_retries

__all__ = ["RestClient"]

_CODES = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class RestClient:
    """Like `GrpcClient`, over HTTP, with a persistent connection per thread.

    HTTP 503 and refused or broken connections count as UNAVAILABLE and are retried: repeating a
    request has no side effects.
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
    ):
        self._server = server
        self._path = f"/v1/models/{urllib.parse.quote(model, safe='')}"
        if version is not None:
            self._path += f"/versions/{version}"
        elif label:
            self._path += f"/labels/{urllib.parse.quote(label, safe='')}"
        self._deadline, self._retries = deadline_seconds, retries
        encrypted = tls or bool(ca_file)
        try:
            self._tls = ssl.create_default_context(cafile=ca_file or None) if encrypted else None
            http.client.HTTPConnection(server)  # reads host and port
        except ssl.SSLError as error:
            raise RequestError("INVALID_ARGUMENT", f"{ca_file} has no certificates") from error
        except http.client.InvalidURL as error:
            text = f"{server} is not a host:port: {error}"
            raise RequestError("INVALID_ARGUMENT", text) from error
        self._local = threading.local()
        self._only_outputs: dict[str, str] = {}

    def predict(self, inputs: dict, signature: str = "") -> dict[str, np.ndarray]:
        """Returns outputs by name. `inputs`: arrays, or lists of numbers, str or bytes, by name."""
        columns = {name: _jsonable(as_array(v).tolist()) for name, v in inputs.items()}
        answer = self._post(":predict", {"inputs": columns}, signature)["outputs"]
        if not isinstance(answer, dict) or answer.keys() == {"b64"}:
            answer = {self._only_output(signature): answer}
        return {name: _array(values) for name, values in answer.items()}

    def classify(
        self, features: list[dict], signature: str = "classify"
    ) -> list[list[tuple[str, float]]]:
        """Returns classes and scores of each example. `features`: its text features by name."""
        rows = self._ask_examples(":classify", features, signature)
        return [[(label, score) for label, score in row] for row in rows]

    def regress(self, features: list[dict], signature: str = "regress") -> list[float]:
        """Returns the value of each example. `features`: its text features by name."""
        return self._ask_examples(":regress", features, signature)

    def metadata(self) -> dict:
        """Returns the model's signatures, as JSON."""
        return self._call("GET", self._path + "/metadata", None)

    def status(self) -> dict[int, tuple[str, str]]:
        """Returns {version: (state, error message)}."""
        entries = self._call("GET", self._path, None)["model_version_status"]
        return {
            int(entry["version"]): (entry["state"], entry["status"].get("error_message", ""))
            for entry in entries
        }

    def close(self) -> None:
        """Closes the calling thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection:
            connection.close()
            self._local.connection = None

    def _only_output(self, signature: str) -> str:
        # The response of a signature with one output does not contain its name.
        if signature not in self._only_outputs:
            signatures = self.metadata()["metadata"]["signature_def"]["signature_def"]
            outputs = signatures[signature or "serving_default"]["outputs"]
            self._only_outputs[signature] = next(iter(outputs))
        return self._only_outputs[signature]

    def _ask_examples(self, verb: str, features: list[dict], signature: str) -> list:
        examples = [{name: _jsonable(text) for name, text in row.items()} for row in features]
        return self._post(verb, {"examples": examples}, signature)["results"]

    def _post(self, verb: str, given: dict, signature: str) -> dict:
        if signature:
            given["signature_name"] = signature
        return self._call("POST", self._path + verb, json.dumps(given).encode())

    def _call(self, method: str, path: str, body: bytes | None) -> dict:
        return with_retries(
            lambda seconds: self._attempt(method, path, body, seconds),
            self._deadline,
            self._retries,
        )

    def _attempt(self, method: str, path: str, body: bytes | None, seconds: float) -> dict:
        connection = self._connection(seconds)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
        except TimeoutError as error:
            self.close()
            raise RequestError("DEADLINE_EXCEEDED", f"no response in {seconds:.3g} s") from error
        except ssl.SSLCertVerificationError as error:
            self.close()
            raise RequestError("UNAUTHENTICATED", str(error)) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            # An HTTP/2 frame begins with a zero byte.
            if isinstance(error, http.client.BadStatusLine) and error.line.startswith("\0"):
                text = f"{self._server} does not speak HTTP/1.1: is it the gRPC port?"
                raise RequestError("INVALID_ARGUMENT", text) from error
            raise RequestError("UNAVAILABLE", f"{self._server}: {error!r}") from error
        if response.will_close:
            self.close()
        return _checked(response.status, content)

    def _connection(self, seconds: float):
        connection = getattr(self._local, "connection", None)
        if connection is None:
            if self._tls:
                connection = http.client.HTTPSConnection(self._server, context=self._tls)
            else:
                connection = http.client.HTTPConnection(self._server)
            self._local.connection = connection
        connection.timeout = seconds
        if connection.sock is not None:
            connection.sock.settimeout(seconds)
        return connection


def _checked(status: int, content: bytes) -> dict:
    try:
        answer = json.loads(content)
    except ValueError:
        answer = {"error": content[:200].decode("utf-8", "replace")}
    if status != 200:
        reason = answer.get("error", "") if isinstance(answer, dict) else str(answer)
        raise RequestError(_CODES.get(status, "INTERNAL"), f"HTTP {status}: {reason}")
    return answer


def _jsonable(value):
    if isinstance(value, list):
        return [_jsonable(each) for each in value]
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            pass
        return {"b64": base64.b64encode(value).decode("ascii")}
    return value


def _array(values) -> np.ndarray:
    """Converts JSON values to an array, with text as bytes, as over gRPC."""
    array = np.asarray(values)
    if array.dtype.kind in "UO":
        flat = [_plain(each) for each in np.asarray(values, dtype=object).ravel().tolist()]
        return np.array(flat, dtype=object).reshape(array.shape)
    return array


def _plain(value):
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return value.encode() if isinstance(value, str) else value
