"""The door of the gRPC side: open, or closed while a server stops."""

import threading
import time

import grpc
from google.protobuf.message import DecodeError

__all__ = ["Gate"]

_PATIENCE_SECONDS = 2.0  # for running calls, before the server says goodbye to its clients
_LATE_SECONDS = 0.5  # in which a client that was just answered sends its next call


class Gate(grpc.ServerInterceptor):
    """Counts running calls and reads their messages; once closed, it refuses new ones with
    UNAVAILABLE, and always what is no message with INVALID_ARGUMENT.

    `grpc.Server.stop` drops what has arrived and is not yet handed to a handler, which its client
    sees as CANCELLED and does not try again elsewhere. Behind a closed gate that is settled there
    is next to nothing left to drop. A message that gRPC itself fails to read costs it some 16 KB
    for good, so it gets none to read. All methods are expected to be unary.
    """

    def __init__(self):
        self._running, self._closed = 0, False
        self._changed = threading.Condition()

    def close(self) -> None:
        self._closed = True

    def wait(self, seconds: float) -> bool:
        """Waits until no call is running; returns whether that came within `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, seconds)

    def settle(self, seconds: float) -> None:
        """Waits a moment, `seconds` at most, for running calls to end and late ones to be refused.

        Not longer: as long as the server is not stopped, its clients take it for a good one.
        """
        end = time.monotonic() + seconds
        self.wait(min(_PATIENCE_SECONDS, seconds))
        time.sleep(min(_LATE_SECONDS, max(end - time.monotonic(), 0)))

    def intercept_service(self, continuation, handler_call_details):
        handler = continuation(handler_call_details)
        if handler is None:  # a method that nobody has: gRPC's own answer
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
                    text = "the message is no request of this method"
                    context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
                return handler.unary_unary(request, context)
            finally:
                with self._changed:
                    self._running -= 1
                    self._changed.notify_all()

        return grpc.unary_unary_rpc_method_handler(
            answer, response_serializer=handler.response_serializer
        )
