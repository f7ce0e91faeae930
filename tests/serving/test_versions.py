"""Versions that are added, removed or broken while clients send requests."""

import gc
import shutil
import threading
import time
import urllib.error
import urllib.request
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import predict_pb2

from serving.client_error import RequestError
from serving.config_files import model_server_config
from serving.grpc_client import GrpcClient
from serving.repository import ModelRepository
from serving.status import invalid
from serving.versions import Policy, versions_on_disk, wanted_versions
from tests.serving.clients import Clients
from tests.serving.served_models import save_words, write_warmup
from tests.serving.server_process import ServerProcess, server_here
from tf_efficientbert.storage import replaced_directory


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Valid versions 1 to 3, to copy."""
    folder = tmp_path_factory.mktemp("saved")
    for version in (1, 2, 3):
        save_words(folder, version)
    return folder


@pytest.fixture
def base(saved, tmp_path):
    """A model folder with version 1."""
    shutil.copytree(saved / "1", tmp_path / "words" / "1")
    return tmp_path / "words"


@pytest.fixture
def here(base):
    with server_here(model_name="words", model_base_path=str(base)) as server:
        server.client = GrpcClient(server.grpc, "words")
        yield server
        server.client.close()


def publish(source, base, version: int) -> None:
    """Publishes a copy by a rename, as the export does."""
    new = base / f".{version}.new"
    shutil.copytree(source, new)
    new.rename(base / str(version))


def wait_for_status(client, version: int, state: str) -> str:
    """Waits until the version has the state; returns its error message."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = client.status().get(version, ("", ""))
        if found[0] == state:
            return found[1]
        time.sleep(0.02)
    raise AssertionError(f"version {version} is not {state}: {client.status()}")


def answering(client) -> int:
    return int(client.predict({"text": ["a"]})["version"][0])


def test_a_new_version_takes_over_and_the_old_one_ends(here, saved, base):
    assert answering(here.client) == 1
    publish(saved / "2", base, 2)
    wait_for_status(here.client, 2, "AVAILABLE")
    assert answering(here.client) == 2
    wait_for_status(here.client, 1, "END")
    with pytest.raises(RequestError) as error:
        GrpcClient(here.grpc, "words", version=1).predict({"text": ["a"]})
    assert error.value.code == "NOT_FOUND"


def test_a_version_ends_after_its_last_request(here, saved, base):
    answers = []
    ask = lambda: answers.append(here.client.predict({"text": ["a"]}, "slow"))  # noqa: E731
    late = [threading.Thread(target=ask) for _ in range(6)]  # more than run concurrently
    for thread in late:
        thread.start()
    publish(saved / "2", base, 2)
    wait_for_status(here.client, 2, "AVAILABLE")
    for thread in late:
        thread.join()
    assert [int(outputs["version"][0]) in (1, 2) for outputs in answers] == [True] * 6
    wait_for_status(here.client, 1, "END")


def test_no_request_fails_while_versions_are_swapped_and_removed(here, saved, base):
    clients = Clients(here, 8)
    for version in (2, 3):
        publish(saved / str(version), base, version)
        clients.wait_until(lambda answers, version=version: answers[version] > 50)
    shutil.rmtree(base / "2")
    shutil.rmtree(base / "1")
    after = clients.answers[3] + 100
    clients.wait_until(lambda answers: answers[3] > after)
    clients.stop()
    assert clients.errors == []
    assert sum(clients.answers.values()) > 200


def test_no_request_fails_while_the_served_version_is_removed(here, saved, base):
    clients = Clients(here, 8)
    publish(saved / "2", base, 2)
    clients.wait_until(lambda answers: answers[2] > 50)
    shutil.rmtree(base / "2")
    before = clients.answers[1]
    clients.wait_until(lambda answers: answers[1] > before + 100)
    clients.stop()
    assert clients.errors == []
    wait_for_status(here.client, 2, "END")


def test_a_base_path_with_nothing_to_serve_is_reported_once(tmp_path, caplog):
    base = tmp_path / "words"
    (base / "saved_model").mkdir(parents=True)
    repository = ModelRepository(load=None)
    repository.configure(model_server_config("words", str(base)))
    repository.poll()
    shutil.rmtree(base)
    repository.poll()
    repository.poll()
    empty, gone = (record.getMessage() for record in caplog.records)
    assert empty == f"model words: {base} has no folder named by a version number"
    assert gone.startswith(f"model words: {base} cannot be read:")


def test_one_of_several_served_versions_can_be_removed(saved, base):
    config = model_server_config("words", str(base))
    config.model_config_list.config[0].model_version_policy.all.SetInParent()
    publish(saved / "2", base, 2)
    with server_here(model_name="words", model_base_path=str(base)) as server:
        client = GrpcClient(server.grpc, "words")
        client.reload_config(config)
        wait_for_status(client, 1, "AVAILABLE")
        clients = Clients(server, 8)
        clients.wait_until(lambda answers: answers[2] > 50)
        shutil.rmtree(base / "2")
        clients.wait_until(lambda answers: answers[1] > 50)
        clients.stop()
        assert clients.errors == []
        wait_for_status(client, 2, "END")
        client.close()


@pytest.mark.slow
def test_32_clients_see_no_failure_in_a_minute_of_swaps(base, saved, tmp_path):
    flags = ["--model_name=words", f"--model_base_path={base}"]
    server = ServerProcess(tmp_path / "log", *flags)
    clients = Clients(server, 32)
    end, version = time.monotonic() + 60, 1
    while time.monotonic() < end:
        time.sleep(8)
        publish(saved / "2", base, version + 1)
        clients.wait_until(
            lambda _, version=version: (
                f"version {version} of model words is unloaded" in server.log()
            )
        )
        shutil.rmtree(base / str(version))
        version += 1
    # Also removes a served version.
    publish(saved / "3", base, version + 1)
    clients.wait_until(lambda answers: answers[3] > 50)
    shutil.rmtree(base / str(version + 1))
    before = clients.answers[2]
    clients.wait_until(lambda answers: answers[2] > before + 100)
    clients.stop()
    server.stop()
    assert clients.errors == []
    assert version > 4


# === Broken versions ===


def truncated(name):
    def spoil(version):
        path = version / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return spoil


def foreign_operation(version):
    path = version / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    saved.meta_graphs[0].graph_def.node[0].op = "OperationOfAnotherProgram"
    path.write_bytes(saved.SerializeToString())


def nothing_in_it(version):
    shutil.rmtree(version)
    version.mkdir()


def another_file(version):
    (version / "saved_model.pb").write_bytes(b"PK\x03\x04 something else" * 100)


def failing_warmup(version):
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = "gone"
    write_warmup(version, [request])


BROKEN = {
    "graph truncated": truncated("saved_model.pb"),
    "variables truncated": truncated("variables/variables.data-00000-of-00001"),
    "index truncated": truncated("variables/variables.index"),
    "warm-up truncated": truncated("assets.extra/tf_serving_warmup_requests"),
    "warm-up fails": failing_warmup,
    "foreign operation": foreign_operation,
    "empty folder": nothing_in_it,
    "another file": another_file,
}


def test_a_broken_version_is_reported_and_the_old_one_is_still_served(here, saved, base, tmp_path):
    for number, (fault, spoil) in enumerate(BROKEN.items(), 10):
        shutil.copytree(saved / "2", tmp_path / fault)
        spoil(tmp_path / fault)
        publish(tmp_path / fault, base, number)
        message = wait_for_status(here.client, number, "END")
        assert str(base / str(number)) in message, (fault, message)
        assert answering(here.client) == 1, fault
    publish(saved / "3", base, 99)
    wait_for_status(here.client, 99, "AVAILABLE")
    assert answering(here.client) == 3


def test_a_broken_version_is_retried_when_its_files_change(here, saved, base):
    publish(saved / "2", base, 2)
    graph = base / "2" / "saved_model.pb"
    whole = graph.read_bytes()
    wait_for_status(here.client, 2, "AVAILABLE")
    publish(saved / "3", base, 3)
    wait_for_status(here.client, 3, "AVAILABLE")
    (base / "4").mkdir()  # a slow copy that has begun
    wait_for_status(here.client, 4, "END")
    shutil.copytree(saved / "2", base / "4", dirs_exist_ok=True)
    wait_for_status(here.client, 4, "AVAILABLE")
    assert (answering(here.client), graph.read_bytes()) == (2, whole)


def test_only_numbers_are_versions(tmp_path):
    for name in ("1", "12", ".13.new", "tmp", "-1", "٣", "1.5"):
        (tmp_path / name).mkdir()
    (tmp_path / "7").write_text("a file")
    assert set(versions_on_disk(tmp_path)) == {1, 12}


def test_policies_select_versions():
    specific = Policy(specific=Policy.Specific(versions=[1, 9]))
    assert wanted_versions(Policy(), {1, 2, 3}) == {3}
    assert wanted_versions(Policy(latest=Policy.Latest(num_versions=2)), {1, 2, 3}) == {2, 3}
    assert wanted_versions(Policy(all=Policy.All()), {1, 2}) == {1, 2}
    assert wanted_versions(specific, {1, 2}) == {1}
    assert wanted_versions(Policy(), set()) == set()


# === Config reloads ===


def test_a_reload_adds_and_removes_models(here, saved):
    config = model_server_config("words", str(saved.parent / "elsewhere"))
    with pytest.raises(RequestError, match="cannot move"):
        here.client.reload_config(config)
    other = GrpcClient(here.grpc, "other")
    here.client.reload_config(model_server_config("other", str(saved)))
    assert answering(other) == 3
    with pytest.raises(RequestError) as error:
        answering(here.client)
    assert error.value.code == "NOT_FOUND"


def test_a_label_moves_only_to_a_version_that_is_available(here, base):
    config = model_server_config("words", str(base))
    config.model_config_list.config[0].version_labels["stable"] = 1
    here.client.reload_config(config)
    labelled = GrpcClient(here.grpc, "words", label="stable")
    assert answering(labelled) == 1
    config.model_config_list.config[0].version_labels["stable"] = 7
    with pytest.raises(RequestError, match="not currently available") as error:
        here.client.reload_config(config)
    assert error.value.code == "FAILED_PRECONDITION"
    assert answering(labelled) == 1


@pytest.mark.parametrize(
    ("name", "base_path", "platform"),
    [("", "/models/x", "tensorflow"), ("x", "", "tensorflow"), ("x", "/models/x", "caffe")],
)
def test_an_invalid_config_changes_nothing(here, name, base_path, platform):
    config = model_server_config(name, base_path)
    config.model_config_list.config[0].model_platform = platform
    with pytest.raises(RequestError) as error:
        here.client.reload_config(config)
    assert error.value.code == "INVALID_ARGUMENT"
    assert answering(here.client) == 1


def test_warm_up_requests_run_before_the_first_request(here):
    with urllib.request.urlopen(f"http://{here.rest}/monitoring/prometheus/metrics") as page:
        assert b'local_server:batch_rows_count{model_name="words"} 3.0' in page.read()


class _HeldVersion:
    """A version whose warm-up request, and so its loading, waits until `go` is set.

    It calls back into this process, where the server must run. `begun` is set as it waits;
    `let_go` is False if that took too long.
    """

    def __init__(self, base_path, version: int):
        self.begun, self.go, self.let_go = threading.Event(), threading.Event(), None

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
        def answer(text):
            tf.numpy_function(self._wait, [], [])
            return {"version": tf.fill(tf.shape(text), tf.constant(version, tf.int64))}

        self._module = tf.Module()  # keeps what it calls alive
        self._module.answer = answer
        with replaced_directory(base_path / str(version)) as new:
            tf.saved_model.save(self._module, str(new), {"serving_default": answer})
            request = predict_pb2.PredictRequest()
            request.inputs["text"].CopyFrom(tf.make_tensor_proto([b"warm"]))
            write_warmup(new, [request])

    def _wait(self):
        self.begun.set()
        self.let_go = self.go.wait(60)


def _code(client):
    with pytest.raises(RequestError) as error:
        answering(client)
    return error.value.code


def test_models_that_are_still_to_be_loaded_are_unavailable_by_any_name(base, here, tmp_path):
    held = _HeldVersion(tmp_path / "first", 3)
    config = model_server_config("first", str(tmp_path / "first"))
    other = config.model_config_list.config.add()
    other.CopyFrom(model_server_config("second", str(base)).model_config_list.config[0])
    other.version_labels["stable"] = 1
    with ThreadPoolExecutor(1) as pool:
        reload = pool.submit(here.client.reload_config, config)
        assert held.begun.wait(30)
        clients = [
            GrpcClient(here.grpc, model, retries=0, **version)
            for model, version in (
                ("first", {}),
                ("first", {"version": 3}),
                ("second", {}),
                ("second", {"version": 1}),
                ("second", {"label": "stable"}),
            )
        ]
        assert [_code(client) for client in clients] == ["UNAVAILABLE"] * 5
        unknown = GrpcClient(here.grpc, "second", retries=0, version=8)
        assert _code(unknown) == "NOT_FOUND"
        held.go.set()
        reload.result()
        assert [answering(client) for client in clients] == [3, 3, 1, 1, 1]
        for client in (*clients, unknown):
            client.close()


def _readiness(server):
    try:
        with urllib.request.urlopen(f"http://{server.rest}/readyz") as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_server_is_ready_when_its_models_are_loaded(here):
    assert _readiness(here) == 200
    here.loaded.clear()
    assert _readiness(here) == 503


def test_a_failed_load_leaks_no_memory(base):
    class Graph:
        pass

    made = []

    def load(*_):
        graph = Graph()
        made.append(weakref.ref(graph))
        try:
            raise KeyError(graph)
        except KeyError as error:
            raise invalid("it is broken") from error

    repository = ModelRepository(load)
    repository.configure(model_server_config("words", str(base)))
    assert len(made) == 1
    gc.collect()
    assert made[0]() is None


def test_a_server_that_is_stopped_during_a_load_drains_before_it_ends(here, base):
    held = _HeldVersion(base, 2)
    assert held.begun.wait(30)
    clients = Clients(here, 4, "slow")
    clients.wait_until(lambda answers: answers[1] >= 4)
    here.stop()
    clients.join()  # each got responses until it was refused
    assert {error.code for error in clients.errors} == {"UNAVAILABLE"}
    assert held.let_go is None
    held.go.set()
