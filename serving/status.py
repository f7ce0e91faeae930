"""The error that a request is answered with: a gRPC status code and a sentence."""

import grpc

__all__ = ["ServingError", "invalid", "not_found", "of_runtime_error"]

# Bytes of a message: HTTP/2 headers, in which it travels, are bounded.
# What is not ASCII is three times as long there.
_LONGEST = 1000
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ServingError(Exception):
    """A request, or the loading of a model, ends with this.

    Args:
        code: the canonical code; the REST side turns it into an HTTP status.
        message: what is wrong, with the value, and what was expected.
    """

    def __init__(self, code: grpc.StatusCode, message: str):
        super().__init__(message)
        self.code = code
        self.message = message.encode("utf-8", "replace")[:_LONGEST].decode("utf-8", "ignore")


def invalid(message: str) -> ServingError:
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> ServingError:
    return ServingError(grpc.StatusCode.NOT_FOUND, message)


def of_runtime_error(error: Exception) -> ServingError:
    """What TensorFlow raised while it ran a graph; its codes are gRPC's."""
    code = _CODES.get(getattr(error, "error_code", None), grpc.StatusCode.INTERNAL)
    lines = [line for line in str(getattr(error, "message", error)).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith("Graph execution error")]
    return ServingError(code, said[0].strip() if said else type(error).__name__)
