"""A loaded version of a model, with its SavedModel's signatures."""

import gc
import logging
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from serving.batching import Arrays, BatchingOptions, BatchQueue
from serving.status import ServingError, invalid, of_runtime_error
from serving.tensors import TensorSpec, check

try:
    import tensorflow_text  # noqa: F401  registers the operations of tokenizers in the graph
except ImportError:
    logging.getLogger(__name__).info("no tensorflow-text: graphs with its tokenizers cannot load")

__all__ = ["Servable", "Signature"]

DEFAULT_SIGNATURE = "serving_default"
_MOST_ROWS = 1024  # of a request; more than a batch holds are run in several batches
# Inputs of BERT models. A negative id would index the table from its end.
_NEVER_NEGATIVE = ("input_word_ids", "input_mask", "input_type_ids")


class Signature:
    """A function of a servable.

    Args:
        name: its name.
        definition: its SignatureDef.
        session: session with the graph and its variables.
        batching, observe: see `BatchQueue`.
    """

    def __init__(
        self,
        name: str,
        definition,
        session: tf.compat.v1.Session,
        batching: BatchingOptions,
        observe: Callable[[int], None],
    ):
        self.name = name
        self.method_name = definition.method_name
        self.inputs = _specs(definition.inputs)
        self.outputs = _specs(definition.outputs)
        # Session.run would look up every name in each call, which takes a good part of a
        # millisecond.
        self._call = session._make_callable_from_options(
            config_pb2.CallableOptions(
                feed=[spec.tensor for spec in self.inputs.values()],
                fetch=[spec.tensor for spec in self.outputs.values()],
                # Runs operations in the request's own thread: an encoder's depend on each other.
                run_options=config_pb2.RunOptions(inter_op_thread_pool=-1),
            )
        )
        self._max_rows = batching.max_rows
        self._queue = BatchQueue(self._run, batching, observe)
        specs = [*self.inputs.values(), *self.outputs.values()]
        self._batched = bool(self.inputs) and all(spec.batched for spec in specs)

    def run(self, inputs: Arrays, deadline: float | None = None) -> Arrays:
        """Returns outputs by name; runs more rows than a batch holds in several batches.

        Args:
            inputs: arrays by name, of the signature's types.
            deadline: a time of time.monotonic(), or None.

        Raises:
            ServingError: INVALID_ARGUMENT: names, ranks or sizes do not match, or the graph refuses
                values; RESOURCE_EXHAUSTED: the queue is full; DEADLINE_EXCEEDED.
        """
        inputs = self._checked(inputs)
        try:
            if not self._batched:
                return self._run(inputs)
            rows = self._rows(inputs)
            if rows > _MOST_ROWS:
                raise invalid(f"the request has {rows} rows, at most {_MOST_ROWS} are allowed")
            if rows <= self._max_rows:
                return self._queue.run(inputs, rows, deadline)
            parts = [
                self._queue.run(part, len(next(iter(part.values()))), deadline)
                for part in _cut(inputs, rows, self._max_rows)
            ]
        except tf.errors.OpError as error:
            raise of_runtime_error(error) from error
        return {name: np.concatenate([part[name] for part in parts]) for name in self.outputs}

    def _checked(self, inputs: Arrays) -> Arrays:
        if inputs.keys() != self.inputs.keys():
            missing = sorted(self.inputs.keys() - inputs.keys())
            unknown = sorted(inputs.keys() - self.inputs.keys())
            raise invalid(
                f"signature {self.name!r} takes the inputs {sorted(self.inputs)}: "
                f"missing {missing}, unknown {unknown}"
            )
        for name, spec in self.inputs.items():
            check(name, inputs[name].shape, spec)
            if name in _NEVER_NEGATIVE and inputs[name].size and inputs[name].min() < 0:
                raise invalid(f"input {name!r} has a negative value, {inputs[name].min()}")
        return {name: inputs[name] for name in self.inputs}

    def _rows(self, inputs: Arrays) -> int:
        sizes = {name: array.shape[:1] for name, array in inputs.items()}
        if len(set(sizes.values())) != 1 or () in sizes.values():
            shapes = {name: list(array.shape) for name, array in inputs.items()}
            raise invalid(f"the inputs have different numbers of rows: shapes {shapes}")
        (rows,) = next(iter(sizes.values()))
        if rows == 0:
            raise invalid("the request has no rows")
        return rows

    def _run(self, inputs: Arrays) -> Arrays:
        return dict(zip(self.outputs, self._call(*inputs.values()), strict=True))


class Servable:
    """A version of a model, in memory.

    Args:
        name, version: name and version of the model.
        path: its folder, MODEL/VERSION.
        batching, observe: see `BatchQueue`.
        intra_op_threads: int, cores that an operation uses; 0 for all. The value of the process's
            first servable applies to all.

    Raises:
        ServingError: the SavedModel in the folder cannot be loaded.
    """

    def __init__(
        self,
        name: str,
        version: int,
        path: Path,
        batching: BatchingOptions,
        observe: Callable[[int], None],
        intra_op_threads: int,
    ):
        self.name, self.version, self.path = name, version, path
        config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=intra_op_threads)
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        try:
            graph = tf.compat.v1.saved_model.load(self._session, ["serve"], str(path))
            self.signature_defs = {
                key: definition
                for key, definition in graph.signature_def.items()
                if not key.startswith("__")  # internal to the loader
            }
            if not self.signature_defs:
                raise invalid("it has no signatures")
            self._signatures = {
                key: Signature(key, definition, self._session, batching, observe)
                for key, definition in self.signature_defs.items()
            }
        except Exception as error:
            self.close()
            code = error.code if isinstance(error, ServingError) else of_runtime_error(error).code
            reason = of_runtime_error(error).message
            raise ServingError(code, f"{path} cannot be loaded: {reason}") from error

    def signature(self, name: str) -> Signature:
        """Returns the signature `name`, or the default one for an empty name.

        Raises:
            ServingError: FAILED_PRECONDITION: there is no such signature.
        """
        signature = self._signatures.get(name or DEFAULT_SIGNATURE)
        if signature is None:
            raise ServingError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"Serving signature key {name or DEFAULT_SIGNATURE!r} not found; model "
                f"{self.name!r} version {self.version} has {sorted(self._signatures)}",
            )
        return signature

    def close(self) -> None:
        """Frees the memory; no request may be running."""
        self._signatures = {}
        self._session.close()
        del self._session
        gc.collect()  # graphs have reference cycles


def _specs(infos) -> dict[str, TensorSpec]:
    return {name: TensorSpec.from_info(infos[name]) for name in sorted(infos)}


def _cut(inputs: Arrays, rows: int, most: int):
    for start in range(0, rows, most):
        yield {name: array[start : start + most] for name, array in inputs.items()}
