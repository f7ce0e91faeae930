"""An interceptor that refuses gRPC calls while the server stops."""

import threading
import time

import grpc
from google.protobuf.message import DecodeError

__all__ = ["Gate"]

_PATIENCE_SECONDS = 2.0  # for running calls, before the server sends GOAWAY
_LATE_SECONDS = 0.5  # in which a client may send its next call after a response


class Gate(grpc.ServerInterceptor):
    """Counts running calls and deserializes their messages.

    Invalid messages are refused with INVALID_ARGUMENT. Once closed, the gate refuses new calls with
    UNAVAILABLE.

    `grpc.Server.stop` drops calls that have arrived but have no handler yet; clients see CANCELLED,
    which they do not retry elsewhere. After `close` and `settle` hardly any such call is left. The
    gate deserializes messages itself because gRPC leaks some 16 KB for each invalid one. All
    methods must be unary.
    """

    def __init__(self):
        self._running, self._closed = 0, False
        self._changed = threading.Condition()

    def close(self) -> None:
        self._closed = True

    def wait(self, seconds: float) -> bool:
        """Waits until no call is running; returns whether that happened within `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, seconds)

    def settle(self, seconds: float) -> None:
        """Waits up to `seconds`, but briefly, for running calls to end and late ones to be refused.

        The wait is short because clients keep using a server until it is stopped.
        """
        end = time.monotonic() + seconds
        self.wait(min(_PATIENCE_SECONDS, seconds))
        time.sleep(min(_LATE_SECONDS, max(end - time.monotonic(), 0)))

    def intercept_service(self, continuation, handler_call_details):
        handler = continuation(handler_call_details)
        if handler is None:  # unknown method: gRPC responds itself
            return None

        def answer(message, context):
            with self._changed:
                refused = self._closed
                self._running += not refused
            if refused:
                context.abort(grpc.StatusCode.UNAVAILABLE, "the server is stopping")
            try:
                try:
                    request = handler.request_deserializer(message)
                except DecodeError:
                    text = "the message is not a valid request of this method"
                    context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
                return handler.unary_unary(request, context)
            finally:
                with self._changed:
                    self._running -= 1
                    self._changed.notify_all()

        return grpc.unary_unary_rpc_method_handler(
            answer, response_serializer=handler.response_serializer
        )
