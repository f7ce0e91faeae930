"""HTTP/1.1 server with keep-alive, a thread per connection, limits and graceful shutdown.

It uses the standard library instead of a framework, because it needs little of HTTP and because a
handler in the connection's own thread avoids a switch to another thread.
"""

import contextlib
import select
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from serving.rest_service import Answer, RestService, error_answer
from tf_efficientbert.errors import UserError

__all__ = ["HttpServer"]

_IDLE_SECONDS = 60  # an open connection without a request
_DISCARD_SECONDS = 5  # the rest of a request that was refused


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "tf_efficientbert", ""
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one write
    timeout = _IDLE_SECONDS
    server: "HttpServer"

    def handle_one_request(self):
        """Like the base class, but a stopping server does not wait for another request."""
        if self._begins():
            super().handle_one_request()
        else:
            self.close_connection = True

    def _begins(self) -> bool:
        """Waits for the first byte of a request; returns whether it came."""
        self.connection.settimeout(0)
        buffered = self.rfile.peek(1)  # read together with the previous request
        self.connection.settimeout(self.timeout)
        return bool(buffered) or self.server.wait_for_byte(self.connection, self.timeout)

    def do_POST(self):  # noqa: N802
        body = self._body()
        if body is not None:
            self._send(self.server.service.post(self._path(), body))

    def do_GET(self):  # noqa: N802
        if self._body() is not None:
            self._send(self.server.service.get(self._path()))

    def handle_expect_100(self):
        """Like the base class, but flushes: "100 Continue" must not wait in the buffer."""
        accepted = super().handle_expect_100()
        self.wfile.flush()
        return accepted

    def send_error(self, code, message=None, explain=None):
        """Sends the base class's errors as JSON."""
        self.close_connection = True
        self.request_version = self.protocol_version  # sends a status line to any client
        self._send(error_answer(code, message or self.responses.get(code, ("",))[0]))

    def log_message(self, format, *arguments):
        pass  # the metrics count requests

    def _path(self) -> str:
        return self.path.partition("?")[0]

    def _body(self) -> bytes | None:
        """Returns the request's body, or None after an error, which is then already answered."""
        if "Transfer-Encoding" in self.headers:
            self.send_error(411, "chunked bodies are not supported: send Content-Length")
            return None
        given = self.headers.get("Content-Length", "0")
        if not (given.isascii() and given.isdecimal()):
            self.send_error(400, f"Content-Length {given[:30]!r} is not a number")
            return None
        most = self.server.max_request_bytes
        if len(given) > 15 or int(given) > most:
            self.send_error(413, f"the body has {given[:30]} bytes, at most {most} are allowed")
            self._discard_body()
            return None
        body = self.rfile.read(int(given))
        if len(body) < int(given):
            self.close_connection = True  # the client is gone
            return None
        return body

    def _discard_body(self) -> None:
        """Reads the rest of a body, so that a client still sending gets the answer, not a reset."""
        self.wfile.flush()
        end = time.monotonic() + _DISCARD_SECONDS
        self.connection.settimeout(_DISCARD_SECONDS)
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while time.monotonic() < end and self.rfile.read1(65536):
                pass

    def _send(self, answer: Answer) -> None:
        if self.server.draining:
            self.close_connection = True
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)


class HttpServer(ThreadingHTTPServer):
    """Serves a `RestService`.

    Args:
        service: handles the requests.
        host, port: address to listen on; port 0 for any free port.
        max_request_bytes: int, the longest body; longer ones get 413.
        max_connections: int, limit of concurrent connections; more get 503.

    Raises:
        UserError: the port is taken.
    """

    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(
        self,
        service: RestService,
        host: str,
        port: int,
        max_request_bytes: int,
        max_connections: int,
    ):
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise UserError(
                f"REST cannot listen on {host}:{port}: {error}; see --rest_api_port"
            ) from error
        self.service = service
        self.max_request_bytes = max_request_bytes
        self.draining = False
        self._max_connections = max_connections
        self._connections: set[socket.socket] = set()
        self._changed = threading.Condition()
        # Closing the second socket wakes all threads that poll the first.
        self._end_of_service, self._not_yet = socket.socketpair()

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def drain(self, seconds: float) -> bool:
        """Answers requests that have arrived, then closes; returns whether all finished in time.

        Connections that the kernel has accepted count as arrived. A request whose first byte is
        there is read to its end and answered with "Connection: close". Later requests on the same
        connection and other connections are not read.
        """
        self.draining = True
        self.shutdown()
        self._take_arrived()
        self.server_close()
        self._not_yet.close()
        with self._changed:
            answered = self._changed.wait_for(lambda: not self._connections, seconds)
        if answered:  # otherwise some threads still poll it
            self._end_of_service.close()
        return answered

    def _take_arrived(self) -> None:
        self.socket.setblocking(False)
        while True:
            try:
                connection, address = self.socket.accept()
            except OSError:
                return
            connection.setblocking(True)
            self.process_request(connection, address)

    def wait_for_byte(self, connection: socket.socket, seconds: float) -> bool:
        """Waits for data or the server's stop; returns whether there is data."""
        poller = select.poll()
        poller.register(connection, select.POLLIN)
        poller.register(self._end_of_service, select.POLLIN)
        ready = dict(poller.poll(1000 * seconds))
        return connection.fileno() in ready

    # === Hooks of socketserver ===

    def process_request(self, request, client_address):
        with self._changed:
            if len(self._connections) < self._max_connections:
                self._connections.add(request)
                accepted = True
            else:
                accepted = False
        if accepted:
            super().process_request(request, client_address)
        else:
            _refuse(request, self._max_connections)
            self.shutdown_request(request)

    def shutdown_request(self, request):
        try:
            super().shutdown_request(request)
        finally:
            with self._changed:
                self._connections.discard(request)
                self._changed.notify_all()

    def handle_error(self, request, client_address):
        pass  # only clients that disconnected; invalid requests get an answer


def _refuse(connection: socket.socket, most: int) -> None:
    answer = error_answer(503, f"all {most} connections are in use; try again later")
    head = (
        f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body)}\r\nConnection: close\r\nRetry-After: 1\r\n\r\n"
    )
    with contextlib.suppress(OSError):
        connection.settimeout(1)
        connection.sendall(head.encode() + answer.body)
