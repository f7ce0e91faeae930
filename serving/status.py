"""The error of a request: a gRPC status code and a message."""

import grpc

__all__ = ["ServingError", "invalid", "not_found", "of_runtime_error"]

# Limit of a message in bytes: it is sent in HTTP/2 headers, whose size is limited and where
# non-ASCII bytes take three times the space.
_LONGEST = 1000
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ServingError(Exception):
    """A request, or loading a model, failed.

    Args:
        code: the canonical code; REST converts it to an HTTP status.
        message: the error, with the value and what was expected.
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
    """Converts an error that TensorFlow raised while running a graph; the codes are gRPC's."""
    code = _CODES.get(getattr(error, "error_code", None), grpc.StatusCode.INTERNAL)
    lines = [line for line in str(getattr(error, "message", error)).splitlines() if line.strip()]
    messages = [line for line in lines if not line.startswith("Graph execution error")]
    return ServingError(code, messages[0].strip() if messages else type(error).__name__)
