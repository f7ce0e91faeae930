"""The error of the gRPC and REST clients."""

__all__ = ["RequestError"]


class RequestError(Exception):
    """A request failed.

    Args:
        code: name of the canonical status code, such as INVALID_ARGUMENT.
        message: the error message of the server or the connection.
    """

    def __init__(self, code: str, message: str):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
