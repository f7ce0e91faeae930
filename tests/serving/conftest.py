import pytest

from serving.grpc_client import GrpcClient
from serving.rest_client import RestClient
from tests.models.small_text_models import TASKS, small_examples, small_text_model
from tests.serving.served_models import save_words
from tests.serving.server_process import ServerProcess
from tf_efficientbert.export.saved_model import export_saved_model

SERVED_TASKS = {"reviews": "classification", "stars": "regression"}  # by model
CONFIG = """
model_config_list {{
  config {{
    name: "words" base_path: "{words}" model_platform: "tensorflow"
    model_version_policy {{ all {{}} }}
    version_labels {{ key: "stable" value: 1 }}
    version_labels {{ key: "canary" value: 2 }}
  }}
  config {{ name: "reviews" base_path: "{reviews}" model_platform: "tensorflow" }}
  config {{ name: "stars" base_path: "{stars}" model_platform: "tensorflow" }}
}}
"""


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A process that serves two versions of "words", and two exported models."""
    folder = tmp_path_factory.mktemp("served")
    for version in (1, 2):
        save_words(folder / "words", version)
    for name, kind in SERVED_TASKS.items():
        export_saved_model(small_text_model(kind), folder / name, small_examples(TASKS[kind]))
    config = folder / "models.config"
    config.write_text(CONFIG.format(**{n: folder / n for n in ("words", *SERVED_TASKS)}))
    process = ServerProcess(folder / "server.log", f"--model_config_file={config}")
    yield process
    process.stop()


@pytest.fixture(params=["grpc", "rest"])
def connect(request, server):
    """Makes clients of one of the two protocols."""
    clients = []

    def make(model="words", **arguments):
        if request.param == "grpc":
            clients.append(GrpcClient(server.grpc, model, **arguments))
        else:
            clients.append(RestClient(server.rest, model, **arguments))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def still_serving(server):
    """Checks after the test that a valid request succeeds."""
    yield
    client = GrpcClient(server.grpc, "words", retries=0)
    assert client.predict({"text": ["abc"]})["length"].tolist() == [3.0]
    client.close()
