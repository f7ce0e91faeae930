"""Where a server listens unless something else is said."""

__all__ = ["server_address"]

_GRPC, _REST = "localhost:8500", "localhost:8501"


def server_address(server: str, rest: bool) -> str:
    """`server`, host:port; where it is empty, that of TF Serving's usual port on this machine."""
    return server or (_REST if rest else _GRPC)
