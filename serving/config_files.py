"""Reads TF Serving's config files, which are protocol buffers in text form."""

from pathlib import Path

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from serving.batching import BatchingOptions
from tf_efficientbert.errors import UserError

__all__ = [
    "model_server_config",
    "read_batching",
    "read_models",
    "read_prometheus_path",
    "read_ssl",
]

_PROMETHEUS_PATH = "/monitoring/prometheus/metrics"

# Messages that tensorflow-serving-api lacks, with their published fields and numbers.
_Field = descriptor_pb2.FieldDescriptorProto
_INT64, _STRING_VALUE = ".google.protobuf.Int64Value", ".google.protobuf.StringValue"
_LEFT_OUT = {
    "PrometheusConfig": [(1, "enable", _Field.TYPE_BOOL), (2, "path", _Field.TYPE_STRING)],
    "MonitoringConfig": [(1, "prometheus_config", ".tensorflow.serving.PrometheusConfig")],
    "SSLConfig": [
        (1, "server_key", _Field.TYPE_STRING),
        (2, "server_cert", _Field.TYPE_STRING),
        (3, "custom_ca", _Field.TYPE_STRING),
        (4, "client_verify", _Field.TYPE_BOOL),
    ],
    "BatchingParameters": [
        (1, "max_batch_size", _INT64),
        (2, "batch_timeout_micros", _INT64),
        (3, "max_enqueued_batches", _INT64),
        (4, "num_batch_threads", _INT64),
        (5, "thread_pool_name", _STRING_VALUE),
        (6, "allowed_batch_sizes", _Field.TYPE_INT64),
        (7, "pad_variable_length_inputs", _Field.TYPE_BOOL),
    ],
}


def _left_out_messages() -> dict[str, type]:
    file = descriptor_pb2.FileDescriptorProto(
        name="serving/left_out.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    for name, fields in _LEFT_OUT.items():
        message = file.message_type.add(name=name)
        for number, field, kind in fields:
            repeated = field == "allowed_batch_sizes"
            described = message.field.add(
                name=field,
                number=number,
                label=_Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL,
            )
            if isinstance(kind, str):
                described.type, described.type_name = _Field.TYPE_MESSAGE, kind
            else:
                described.type = kind
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(wrappers)
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"tensorflow.serving.{name}")
        )
        for name in _LEFT_OUT
    }


_MESSAGES = _left_out_messages()


def read_models(path: str) -> model_server_config_pb2.ModelServerConfig:
    """Reads --model_config_file; raises UserError if it cannot be read."""
    return _read(path, "model_config_file", model_server_config_pb2.ModelServerConfig())


def model_server_config(name: str, base_path: str) -> model_server_config_pb2.ModelServerConfig:
    """Returns the config for the newest version of one model."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform="tensorflow")
    return config


def read_batching(path: str) -> BatchingOptions:
    """Reads --batching_parameters_file; missing values have their defaults.

    batch_timeout_micros and allowed_batch_sizes have no effect: an idle model never waits, and
    rounding up batches has no benefit here.

    Raises:
        UserError: the file cannot be read, or a value is below 1.
    """
    given = _read(path, "batching_parameters_file", _MESSAGES["BatchingParameters"]())
    default = BatchingOptions()
    values = {}
    for field in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
        if given.HasField(field):
            values[field] = getattr(given, field).value
            if values[field] < 1:
                raise UserError(f"{path}: {field} is {values[field]}, expected a number above 0")
    rows = values.get("max_batch_size", default.max_rows)
    batches = values.get("max_enqueued_batches", default.max_waiting_rows // default.max_rows)
    return BatchingOptions(
        max_rows=rows,
        max_waiting_rows=batches * rows,
        slots=values.get("num_batch_threads", default.slots),
    )


def read_prometheus_path(path: str) -> str:
    """Returns the path of the metrics in --monitoring_config_file; empty if they are off."""
    given = _read(path, "monitoring_config_file", _MESSAGES["MonitoringConfig"]())
    prometheus = given.prometheus_config
    return (prometheus.path or _PROMETHEUS_PATH) if prometheus.enable else ""


def read_ssl(path: str):
    """Reads --ssl_config_file: keys and certificates as PEM text.

    Returns: a message with server_key, server_cert, custom_ca and client_verify.
    """
    given = _read(path, "ssl_config_file", _MESSAGES["SSLConfig"]())
    if not given.server_key or not given.server_cert:
        raise UserError(f"--ssl_config_file={path}: server_key or server_cert is missing")
    return given


def _read(path: str, flag: str, message):
    try:
        return text_format.Parse(Path(path).read_text("utf-8"), message)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--{flag}={path} cannot be read: {error}") from error
    except text_format.ParseError as error:
        kind = message.DESCRIPTOR.name
        raise UserError(f"--{flag}={path}: line {error} (expected a {kind})") from error
