"""Serves exported models with TF Serving's gRPC and REST protocols, for local use.

Example:
    tf-efficientbert serve --model_name=reviews --model_base_path=runs/export/saved_model

serving/README.md lists the flags and the differences from TF Serving.
"""

import dataclasses
import gc
import logging
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from serving.batching import BatchingOptions
from tf_efficientbert.command import run_command
from tf_efficientbert.errors import UserError
from tf_efficientbert.options import option
from tf_efficientbert.quiet_tensorflow import import_tensorflow

_log = logging.getLogger("serving")

_SENDING_SECONDS = 1.0  # minimum time for sending responses
# The kernel may deliver a signal to a thread that is just starting another one. Python runs the
# handler in the main thread, but nothing wakes that thread, so it must poll.
_SIGNAL_SECONDS = 0.2


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Options of the server. Flags that TF Serving also has mean the same."""

    model_config_file: str = option("", "a ModelServerConfig file: the models to serve")
    model_name: str = option("default", "name of the model, if there is no --model_config_file")
    model_base_path: str = option("", "folder with the model's versions (1/, 2/, ...)")
    host: str = option("127.0.0.1", "address to listen on; 0.0.0.0 opens it to the network")
    port: int = option(8500, "gRPC port; 0: any free port")
    rest_api_port: int = option(8501, "REST port; 0: any free port, -1: no REST")
    rest_api_timeout_in_ms: int = option(30000, "deadline of a REST request in milliseconds")
    batching_parameters_file: str = option(
        "", "a BatchingParameters file: how requests are merged into batches"
    )
    monitoring_config_file: str = option("", "a MonitoringConfig file: the path of the metrics")
    ssl_config_file: str = option("", "TLS for gRPC: an SSLConfig")
    file_system_poll_wait_seconds: float = option(1.0, "seconds between checks for new versions")
    tensorflow_intra_op_parallelism: int = option(1, "cores that an operation uses; 0: all")
    max_request_bytes: int = option(4 * 1024 * 1024, "size of the largest request accepted")
    max_concurrent_requests: int = option(
        256, "limit of concurrent gRPC calls, and of REST connections"
    )
    drain_seconds: float = option(30.0, "seconds that SIGTERM waits for running requests")

    def __post_init__(self) -> None:
        if bool(self.model_config_file) == bool(self.model_base_path):
            raise UserError("set either --model_config_file or --model_base_path")
        if self.model_base_path and not Path(self.model_base_path).is_dir():
            raise UserError(f"--model_base_path={self.model_base_path}: no such folder")
        for name in ("file_system_poll_wait_seconds", "rest_api_timeout_in_ms", "drain_seconds"):
            if getattr(self, name) <= 0:
                raise UserError(f"--{name}={getattr(self, name)}: expected a number above 0")
        if self.tensorflow_intra_op_parallelism < 0:
            raise UserError(
                f"--tensorflow_intra_op_parallelism={self.tensorflow_intra_op_parallelism}: "
                "expected 0 or more"
            )
        for name in ("max_request_bytes", "max_concurrent_requests"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name}={getattr(self, name)}: expected a number above 0")


class LocalServer:
    """A server that listens once it is created; `serve` loads the models.

    Attributes:
        grpc_port, rest_port: the ports; None without REST.
        loaded: an Event, set after the models are loaded for the first time.

    Raises:
        UserError: a config file is invalid or a port is taken.
    """

    def __init__(self, options: ServerOptions):
        # Imported here because TensorFlow takes seconds: invalid flags are reported before.
        from serving import config_files
        from serving.grpc_gate import Gate
        from serving.grpc_service import make_server
        from serving.http_server import HttpServer
        from serving.metrics import Metrics
        from serving.repository import ModelRepository
        from serving.rest_service import RestService

        self._options = options
        self.loaded, self._stopping = threading.Event(), threading.Event()
        self._config = _model_config(options)
        batching, metrics_path, ssl = BatchingOptions(), "/monitoring/prometheus/metrics", None
        if options.batching_parameters_file:
            batching = config_files.read_batching(options.batching_parameters_file)
        if options.monitoring_config_file:
            metrics_path = config_files.read_prometheus_path(options.monitoring_config_file)
        if options.ssl_config_file:
            ssl = config_files.read_ssl(options.ssl_config_file)
        host = f"[{options.host}]" if ":" in options.host else options.host
        self._metrics = metrics = Metrics()
        self._repository = ModelRepository(_loader(options, batching, metrics))
        self._gate = Gate()
        self._grpc, self.grpc_port = make_server(
            self._repository,
            metrics,
            f"{host}:{options.port}",
            options.max_request_bytes,
            options.max_concurrent_requests,
            self._gate,
            ssl,
        )
        self._http, self.rest_port = None, None
        if options.rest_api_port >= 0:
            timeout = options.rest_api_timeout_in_ms / 1000
            service = RestService(
                self._repository,
                metrics,
                timeout,
                metrics_path,
                ready=lambda: self.loaded.is_set() and not self._stopping.is_set(),
            )
            self._http = HttpServer(
                service,
                options.host,
                options.rest_api_port,
                options.max_request_bytes,
                options.max_concurrent_requests,
            )
            self.rest_port = self._http.server_address[1]

    def stop(self) -> None:
        """Ends `serve`; callable from a signal handler."""
        self._stopping.set()

    def serve(self) -> bool:
        """Loads the models and serves until `stop`; returns whether every request was answered.

        Raises:
            UserError: the config is invalid.
        """
        self._grpc.start()
        if self._http:
            self._http.start()
        rest = f", REST on {self.rest_port}" if self._http else ""
        _log.info("%s: gRPC on %d%s", self._options.host, self.grpc_port, rest)
        with ThreadPoolExecutor(1, thread_name_prefix="loading") as pool:
            # In another thread, so that SIGTERM does not wait for a large model to load.
            loading = pool.submit(self._keep_loaded)
            loading.add_done_callback(lambda _: self._stopping.set())
            while not self._stopping.wait(_SIGNAL_SECONDS):
                pass
            if loading.done() and loading.exception():
                raise loading.exception()
            return self._drain()

    def _keep_loaded(self) -> None:
        """Loads the models, then polls for new versions until the server stops."""
        from serving.status import ServingError

        try:
            self._repository.configure(self._config)
        except ServingError as error:
            if not self._repository.names():
                raise UserError(f"--model_config_file: {error.message}") from error
            _log.warning("%s", error.message)
        self.loaded.set()
        _log.info("serving")
        while not self._stopping.wait(self._options.file_system_poll_wait_seconds):
            try:
                self._repository.poll()
            except Exception:  # loaded models are still served
                _log.exception("checking for new versions failed; retrying")

    def _drain(self) -> bool:
        self._repository.end_loading()
        seconds = self._options.drain_seconds
        _log.info("stopping: running requests have %g s to finish", seconds)
        self._gate.close()
        with ThreadPoolExecutor(1) as pool:
            grpc_answered = pool.submit(self._drain_grpc, seconds)
            answered = self._http.drain(seconds) if self._http else True
            answered &= grpc_answered.result()
        self._repository.close()
        _log.info("stopped: %d requests answered", self._metrics.answered())
        if not answered:
            _log.error("--drain_seconds=%g was too short: requests were aborted", seconds)
        return answered

    def _drain_grpc(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        self._gate.settle(seconds)
        self._grpc.stop(2 * seconds)  # running calls continue
        answered = self._gate.wait(max(end - time.monotonic(), 0))
        left = max(end - time.monotonic(), _SENDING_SECONDS)
        self._grpc.stop(left if answered else 0).wait()
        return answered


def _model_config(options: ServerOptions):
    from serving.config_files import model_server_config, read_models

    if options.model_config_file:
        return read_models(options.model_config_file)
    return model_server_config(options.model_name, options.model_base_path)


def _loader(options: ServerOptions, batching, metrics):
    from serving.servable import Servable
    from serving.warmup import warm_up

    threads = options.tensorflow_intra_op_parallelism

    def load(name: str, version: int, path: Path) -> Servable:
        observe = metrics.rows_of(name)
        servable = Servable(name, version, path, batching, observe, threads)
        try:
            count = warm_up(servable)
        except BaseException:
            servable.close()
            raise
        _log.info("version %d of model %s: %d warm-up requests", version, name, count)
        return servable

    return load


def serve(options: ServerOptions) -> int:
    """Runs a server until SIGTERM or SIGINT; returns the exit status."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # a server's log should have later errors
    import_tensorflow()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)
    _log.propagate = False
    server = LocalServer(options)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    gc.collect()
    gc.freeze()  # excludes imported modules from the collections that free unloaded versions
    return 0 if server.serve() else 1


if __name__ == "__main__":
    run_command(ServerOptions, serve)
