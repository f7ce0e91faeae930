"""Local servers for tests: in a separate process, or in this process."""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from serving.local_server import LocalServer, ServerOptions

_START_SECONDS = 180  # importing TensorFlow on a busy machine takes long


class ServerProcess:
    """Runs until `stop`; logs to a file, so that it never waits for a reader.

    Attributes:
        grpc, rest: host:port of each.
    """

    def __init__(self, log: Path, *flags: str):
        command = [sys.executable, "-m", "serving.local_server", "--port=0", "--rest_api_port=0"]
        self._log = log
        with open(log, "wb") as file:
            self._process = subprocess.Popen([*command, *flags], stdout=file, stderr=file)
        ports = self._wait_for(r"gRPC on (\d+), REST on (\d+)")
        self._wait_for(r"INFO serving$")
        self.grpc, self.rest = (f"127.0.0.1:{port}" for port in ports.groups())

    @property
    def pid(self) -> int:
        return self._process.pid

    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def signal(self, number: int = signal.SIGTERM) -> None:
        self._process.send_signal(number)

    def terminate_by_a_thread(self) -> None:
        """Sends SIGTERM to a thread other than the main one."""
        threads = {int(name) for name in os.listdir(f"/proc/{self.pid}/task")} - {self.pid}
        # The oldest thread, because a new one might just end.
        if ctypes.CDLL(None, use_errno=True).tgkill(self.pid, min(threads), signal.SIGTERM):
            raise OSError(ctypes.get_errno(), "tgkill")

    def wait(self) -> int:
        """Waits for the end of the process; returns the exit status."""
        try:
            return self._process.wait(120)
        except subprocess.TimeoutExpired:
            self.stop()
            raise

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _wait_for(self, pattern: str) -> re.Match:
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            match = re.search(pattern, self.log(), re.MULTILINE)
            if match:
                return match
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"the server did not start:\n{self.log()}")


@contextlib.contextmanager
def server_here(**options) -> Iterator[LocalServer]:
    """Yields a server in threads of this process, with loaded models and frequent polling.

    Its `grpc` and `rest` are host:port of each.
    """
    given = {"port": 0, "rest_api_port": 0, "file_system_poll_wait_seconds": 0.05}
    server = LocalServer(ServerOptions(**given | options))
    server.grpc = f"127.0.0.1:{server.grpc_port}"
    server.rest = f"127.0.0.1:{server.rest_port}"
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        server.loaded.wait(_START_SECONDS)
        yield server
    finally:
        server.stop()
        thread.join()
