"""Default addresses of a server."""

__all__ = ["server_address"]

_GRPC, _REST = "localhost:8500", "localhost:8501"


def server_address(server: str, rest: bool) -> str:
    """Returns `server` (host:port), or if empty, localhost with TF Serving's default port."""
    return server or (_REST if rest else _GRPC)
