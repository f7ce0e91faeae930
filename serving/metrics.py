"""Prometheus metrics with TF Serving's names."""

import collections
import contextlib
import threading
import time
from collections.abc import Iterator

import grpc
import prometheus_client
from prometheus_client.core import Metric

from serving.status import ServingError

__all__ = ["Metrics", "Observation"]

prometheus_client.disable_created_metrics()

_MICROSECONDS = [10.0 * 1.8**power for power in range(33)]  # up to half an hour, as in TF Serving
_INFERENCE = {"Predict", "Classify", "Regress"}  # the APIs that the request count includes
_ROWS = [1, 2, 4, 8, 16, 32, 64, 128, 256]


class Observation:
    """A running request.

    `model` is set only to names of served models, so that clients cannot create arbitrary labels.
    """

    def __init__(self):
        self.model = "unknown"


class Metrics:
    """The server's metrics, in a separate registry."""

    def __init__(self):
        self._registry = prometheus_client.CollectorRegistry()
        self._requests = _RequestCount()
        self._registry.register(self._requests)
        self._latency = prometheus_client.Histogram(
            ":tensorflow:serving:request_latency",
            "Time from request to response, in microseconds.",
            ["model_name", "API", "entrypoint"],
            buckets=_MICROSECONDS,
            registry=self._registry,
        )
        self._batch_rows = prometheus_client.Histogram(
            "local_server:batch_rows",
            "Rows of a batch that the model ran.",
            ["model_name"],
            buckets=_ROWS,
            registry=self._registry,
        )

    @contextlib.contextmanager
    def request(self, api: str, entrypoint: str) -> Iterator[Observation]:
        """Counts and times the block, with its final status."""
        observation, status, start = Observation(), grpc.StatusCode.OK, time.perf_counter()
        try:
            yield observation
        except ServingError as error:
            status = error.code
            raise
        except BaseException:
            status = grpc.StatusCode.INTERNAL
            raise
        finally:
            elapsed = time.perf_counter() - start
            if api in _INFERENCE:
                self._requests.add(observation.model, status.name)
            self._latency.labels(observation.model, api, entrypoint).observe(1e6 * elapsed)

    def rows_of(self, model: str):
        """Returns the function that records the size of each of a model's batches."""
        return self._batch_rows.labels(model).observe

    def answered(self) -> int:
        """Returns the number of inference requests so far, with any status."""
        return self._requests.total()

    def text(self) -> bytes:
        """Returns the metrics in Prometheus' text format."""
        return prometheus_client.generate_latest(self._registry)


class _RequestCount:
    """A counter with exactly TF Serving's name; the client library's counters end in _total."""

    def __init__(self):
        self._counts = collections.Counter()
        self._lock = threading.Lock()

    def add(self, model: str, status: str) -> None:
        with self._lock:
            self._counts[model, status] += 1

    def total(self) -> int:
        with self._lock:
            return self._counts.total()

    def collect(self):
        name = ":tensorflow:serving:request_count"
        metric = Metric(name, "Requests by model and status.", "unknown")
        with self._lock:
            counts = dict(self._counts)
        for (model, status), count in counts.items():
            metric.add_sample(name, {"model_name": model, "status": status}, count)
        yield metric
