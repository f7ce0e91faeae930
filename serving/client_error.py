"""What a client raises, the same for gRPC and REST."""

__all__ = ["RequestError"]


class RequestError(Exception):
    """A request failed.

    Args:
        code: name of the canonical status code, such as INVALID_ARGUMENT.
        message: what the server, or the connection, said.
    """

    def __init__(self, code: str, message: str):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
