"""The configs in serving/ are valid for TF Serving and suit the exported graph."""

import os
import re
from pathlib import Path

import pytest
import yaml

from serving.config_files import (
    read_batching,
    read_models,
    read_prometheus_path,
    read_ssl,
)
from tf_efficientbert.errors import UserError

SERVING = Path(__file__).resolve().parents[2] / "serving"
COMPOSE = yaml.safe_load((SERVING / "compose.yaml").read_text("utf-8"))
KUBERNETES = {
    path.stem: yaml.safe_load(path.read_text("utf-8"))
    for path in sorted((SERVING / "kubernetes").glob("*.yaml"))
}
CONTAINER = KUBERNETES["deployment"]["spec"]["template"]["spec"]["containers"][0]


def flags(arguments: list[str]) -> dict[str, str]:
    return dict(argument.removeprefix("--").split("=") for argument in arguments)


def test_the_models_keep_all_versions_and_label_the_stable_one():
    (model,) = read_models(SERVING / "config" / "models.config").model_config_list.config
    assert model.model_version_policy.HasField("all")  # keeps labelled versions
    assert dict(model.version_labels) == {"stable": 1}
    assert model.model_platform == "tensorflow"


def test_the_batching_file_is_read():
    options = read_batching(SERVING / "config" / "batching_parameters.txt")
    assert (options.max_rows, options.max_waiting_rows, options.slots) == (32, 256, 2)


def test_allowed_batch_sizes_rise_to_the_largest_batch_as_tf_serving_demands():
    path = SERVING / "config" / "batching_parameters.txt"
    text = re.sub("#.*", "", path.read_text("utf-8"))
    sizes = [int(size) for size in re.findall(r"allowed_batch_sizes\s*:\s*(\d+)", text)]
    assert sizes == sorted(set(sizes)) and sizes[-1] == read_batching(path).max_rows
    assert not re.search(r"pad_variable_length_inputs\s*:\s*true", text)


def test_metrics_are_on_the_path_that_prometheus_reads():
    path = read_prometheus_path(SERVING / "config" / "monitoring.config")
    prometheus = yaml.safe_load((SERVING / "config" / "prometheus.yml").read_text("utf-8"))
    annotations = KUBERNETES["deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert prometheus["scrape_configs"][0]["metrics_path"] == path
    assert annotations["prometheus.io/path"] == path


def test_both_deployments_run_one_image_with_the_same_flags():
    serving = COMPOSE["services"]["serving"]
    assert serving["image"] == CONTAINER["image"]
    assert flags(serving["command"]) == flags(CONTAINER["args"])
    for name, value in flags(CONTAINER["args"]).items():
        if name.endswith("_file"):
            assert (SERVING / "config" / Path(value).name).is_file()


def test_the_image_has_the_version_of_the_installed_api():
    setup = (SERVING.parent / "setup.py").read_text("utf-8")
    version = CONTAINER["image"].partition(":")[2]
    assert f'"tensorflow-serving-api=={version}"' in setup


def test_threads_equal_the_cores_of_the_container():
    given = flags(CONTAINER["args"])
    cores = CONTAINER["resources"]["limits"]["cpu"]
    assert given["tensorflow_intra_op_parallelism"] == cores
    assert str(COMPOSE["services"]["serving"]["cpus"]) == cores


def test_only_loopback_is_open_on_a_laptop():
    ports = [port for service in COMPOSE["services"].values() for port in service["ports"]]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


def test_manifests_refer_to_each_other():
    deployment, service = KUBERNETES["deployment"], KUBERNETES["service"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert (
        KUBERNETES["autoscaler"]["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    )
    named = {port["name"] for port in CONTAINER["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= named
    assert CONTAINER["readinessProbe"]["httpGet"]["port"] in named
    (model,) = read_models(SERVING / "config" / "models.config").model_config_list.config
    path = f"/v1/models/{model.name}/metadata"
    assert CONTAINER["readinessProbe"]["httpGet"]["path"] == path
    assert path in COMPOSE["services"]["serving"]["healthcheck"]["test"][-1]


# === Invalid files ===


@pytest.mark.parametrize(
    ("read", "text", "told"),
    [
        (read_models, "model_config_list { confg { } }", "line 1:21"),
        (read_batching, "max_batch_size { value: 0 }", "max_batch_size is 0"),
        (read_batching, "max_batch_size: 5 }", "expected a BatchingParameters"),
        (read_prometheus_path, "prometheus { }", "--monitoring_config_file"),
        (read_ssl, 'server_key: "x"', "server_cert is missing"),
    ],
)
def test_an_invalid_file_is_reported_with_name_and_line(tmp_path, read, text, told):
    path = tmp_path / "given.config"
    path.write_text(text)
    with pytest.raises(UserError, match=told) as error:
        read(str(path))
    assert str(path) in str(error.value)


def test_a_missing_file_is_reported_with_its_flag(tmp_path):
    with pytest.raises(UserError, match="--model_config_file=.*gone"):
        read_models(str(tmp_path / "gone"))


def test_metrics_can_be_turned_off_and_have_a_default_path(tmp_path):
    path = tmp_path / "monitoring.config"
    path.write_text("prometheus_config { enable: false path: '/x' }")
    assert read_prometheus_path(str(path)) == ""
    path.write_text("prometheus_config { enable: true }")
    assert read_prometheus_path(str(path)) == "/monitoring/prometheus/metrics"


def test_missing_batching_parameters_have_their_defaults(tmp_path):
    path = tmp_path / "batching_parameters.txt"
    path.write_text("max_batch_size { value: 4 }")
    options = read_batching(str(path))
    assert (options.max_rows, options.max_waiting_rows) == (4, 32)
    assert options.slots == len(os.sched_getaffinity(0))
