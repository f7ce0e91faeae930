"""Sends requests to a server: this project's local server or TF Serving.

Example:
    tf-efficientbert ask --server=localhost:8500 --model=reviews --text="What a lovely film."
    tf-efficientbert ask --rest --server=localhost:8501 --model=reviews --status
"""

import contextlib
import dataclasses
import json
import os

from serving.address import server_address
from serving.client_error import RequestError
from tf_efficientbert.command import run_command
from tf_efficientbert.errors import UserError
from tf_efficientbert.options import option
from tf_efficientbert.quiet_tensorflow import import_tensorflow


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClientOptions:
    """Options of the client."""

    server: str = option("", "host:port; empty for localhost:8500, or localhost:8501 with --rest")
    model: str = option("default", "name of the model")
    version: int = option(0, "of the model; 0 for the newest")
    label: str = option("", "version label, in place of --version")
    text: str = option("", "the text to ask about")
    second_text: str = option("", "the second text, if the model takes pairs")
    signature: str = option("", "signature to call; empty: the server's default")
    classify: bool = option(False, "send a Classify request with a tf.Example")
    regress: bool = option(False, "send a Regress request with a tf.Example")
    question: str = option("", "a question about --text, for a question answering model")
    status: bool = option(False, "show the state of the model's versions; sends no text")
    metadata: bool = option(False, "show the model's signatures; sends no text")
    reload_config: str = option(
        "", "send this model configuration to the server (see config/models.config)"
    )
    rest: bool = option(False, "REST instead of gRPC")
    deadline_seconds: float = option(10.0, "deadline for a call, retries included")
    retries: int = option(5, "retries of a call that fails with UNAVAILABLE (REST: 503)")
    tls: bool = option(False, "an encrypted connection")
    ca_file: str = option("", "certificates to trust in place of the system's; implies --tls")

    @property
    def address(self) -> str:
        """host:port of the server."""
        return server_address(self.server, self.rest)

    def __post_init__(self) -> None:
        if not (self.text or self.status or self.metadata or self.reload_config):
            raise UserError("--text is missing or empty")
        if self.question and self.second_text:
            raise UserError("--question and --second_text exclude each other")
        if self.reload_config and self.rest:
            raise UserError("--reload_config needs gRPC: remove --rest")
        if self.classify and self.regress:
            raise UserError("--classify and --regress exclude each other")
        if self.version and self.label:
            raise UserError("--version and --label exclude each other")
        if self.deadline_seconds <= 0:
            raise UserError(f"--deadline_seconds={self.deadline_seconds}: expected more than 0")
        if self.retries < 0:
            raise UserError(f"--retries={self.retries}: expected 0 or more")
        if self.ca_file and not os.path.isfile(self.ca_file):
            raise UserError(f"--ca_file={self.ca_file}: no such file")


def make_client(options: ClientOptions):
    """Creates a `GrpcClient` or `RestClient`."""
    if options.rest:
        from serving.rest_client import RestClient as Client
    else:
        import_tensorflow()  # quietly; the protocol's messages would import it with its log
        from serving.grpc_client import GrpcClient as Client
    return Client(
        options.address,
        options.model,
        options.version or None,
        options.label,
        options.deadline_seconds,
        options.retries,
        options.tls,
        options.ca_file,
    )


def ask(options: ClientOptions) -> int:
    """Sends a request and prints the response as JSON."""
    try:
        with contextlib.closing(make_client(options)) as client:
            answer = _answer(client, options)
    except RequestError as error:
        raise UserError(f"{options.address}: {error}") from error
    print(json.dumps(answer, indent=2, ensure_ascii=False, default=_plain))
    return 0


def _answer(client, options: ClientOptions):
    if options.reload_config:
        from serving.config_files import read_models

        client.reload_config(read_models(options.reload_config))
        return {"reloaded": options.reload_config}
    if options.status:
        return client.status()
    if options.metadata:
        return client.metadata()
    if options.question:
        texts = {"question": options.question, "context": options.text}
    else:
        texts = {"text": options.text, "second_text": options.second_text}
    texts = {name: text for name, text in texts.items() if text}
    if options.classify:
        return client.classify([texts], options.signature or "classify")
    if options.regress:
        return client.regress([texts], options.signature or "regress")
    return client.predict({name: [text] for name, text in texts.items()}, options.signature)


def _plain(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value.tolist()


if __name__ == "__main__":
    run_command(ClientOptions, ask)
