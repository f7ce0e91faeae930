"""Serves a web page that runs a classifier in the browser.

Example:
    tf-efficientbert web_page --model=runs/student/model
"""

import dataclasses
import errno
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from serving.web.site import build_site
from tf_efficientbert.command import run_command
from tf_efficientbert.errors import UserError
from tf_efficientbert.options import option

_HOST = "127.0.0.1"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PageOptions:
    """Options of `serve`."""

    model: str = option("", "folder of a saved model, or .tflite file exported for MediaPipe")
    output_dir: str = option("runs/web", "output folder for page, MediaPipe and model")
    precision: str = option("float32", "float32, float16 or int8, where --model is a folder")
    port: int = option(8000, f"on {_HOST}; 0 takes a free one")

    def __post_init__(self) -> None:
        if not self.model:
            raise UserError(
                "--model is missing: name the folder of a saved model, or a .tflite file"
            )
        if not 0 <= self.port < 2**16:
            raise UserError(f"--port={self.port}: expected a number from 0 to 65535")


class _Handler(SimpleHTTPRequestHandler):
    """Serves files with fixed content types, independent of the system's type table."""

    extensions_map = {
        "": "application/octet-stream",
        ".css": "text/css",
        ".html": "text/html",
        ".js": "text/javascript",
        ".json": "application/json",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # shows a new model at once
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def list_directory(self, path) -> None:
        self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, *arguments) -> None:
        """Logs nothing: a line per file would hide the printed address."""


def page_server(folder: str | Path, port: int) -> ThreadingHTTPServer:
    """Creates a server of `folder` on loopback; `serve_forever` starts it.

    Raises:
        UserError: the port is taken or not permitted.
    """
    try:
        return ThreadingHTTPServer((_HOST, port), partial(_Handler, directory=str(folder)))
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise UserError(
            f"--port={port} cannot be used ({error.strerror}): choose another, or 0 for any"
        ) from error


def serve(options: PageOptions) -> None:
    """Builds the page in `options.output_dir` and serves it until Ctrl-C.

    Raises:
        UserError: see `build_site` and `page_server`.
    """
    folder = build_site(options.output_dir, options.model, options.precision)
    with page_server(folder, options.port) as server:
        print(f"http://{_HOST}:{server.server_port}/ shows {options.model}", flush=True)
        print("Press Ctrl-C to stop.", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    run_command(PageOptions, serve)
