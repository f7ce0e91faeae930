"""Runs a version's warm-up requests before it is served, so that its first requests are fast."""

import logging
from pathlib import Path

import grpc
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.example_forms import classify, regress
from serving.request import MAX_REQUEST_BYTES, predict_inputs, serialized_examples
from serving.servable import Servable
from serving.status import ServingError

__all__ = ["WARMUP_FILE", "warm_up"]

_log = logging.getLogger(__name__)

WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
_MOST = 1000  # as in TF Serving
_EXAMPLE_FORMS = {"classify_log": classify, "regress_log": regress}


def warm_up(servable: Servable) -> int:
    """Replays the PredictionLogs in the version's `assets.extra`; returns their number.

    Raises:
        ServingError: the file is damaged or too long, or a request fails.
    """
    path = servable.path / WARMUP_FILE
    if not path.is_file():
        _log.info("%s has no %s: its first requests will be slower", servable.path, WARMUP_FILE)
        return 0
    count = 0
    try:
        for record in tf.compat.v1.io.tf_record_iterator(str(path)):
            count += 1
            if count > _MOST:
                raise ServingError(
                    grpc.StatusCode.INVALID_ARGUMENT, f"it has more than {_MOST} requests"
                )
            _replay(servable, prediction_log_pb2.PredictionLog.FromString(record))
    except Exception as error:
        code = getattr(error, "code", grpc.StatusCode.DATA_LOSS)
        code = code if isinstance(code, grpc.StatusCode) else grpc.StatusCode.DATA_LOSS
        raise ServingError(code, f"{path}: request {max(count, 1)}: {error}") from error
    return count


def _replay(servable: Servable, log: prediction_log_pb2.PredictionLog) -> None:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        request = log.predict_log.request
        signature = servable.signature(request.model_spec.signature_name)
        signature.run(predict_inputs(signature, request, MAX_REQUEST_BYTES))
    elif kind in _EXAMPLE_FORMS:
        request = getattr(log, kind).request
        name = request.model_spec.signature_name
        _EXAMPLE_FORMS[kind](servable, name, serialized_examples(request.input), deadline=None)
    else:
        raise ServingError(grpc.StatusCode.UNIMPLEMENTED, f"a {kind} cannot be replayed")
