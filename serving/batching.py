"""Merges waiting requests into batches; a request never waits while the model is idle.

There is no extra thread: a request's thread runs the model for all requests of its batch. If the
model is idle, a request runs at once, alone. Later requests wait in a bounded queue. So a single
client pays for no thread switch, and many clients share the model's fixed costs.

Another batch starts beside running ones if as many requests wait as the smallest running batch has
merged, or if the waiting rows fill a batch. Thus two clients get a slot each, and 32 clients on two
slots get large batches: each slot takes the requests that arrived while the other was busy.
"""

import collections
import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterable

import grpc
import numpy as np

from serving.status import ServingError

__all__ = ["BatchQueue", "BatchingOptions"]

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchingOptions:
    """Options of the merging of requests; names in a batching parameters file in parentheses.

    Attributes:
        max_rows: the most rows of a batch (max_batch_size).
        max_waiting_rows: the most rows in the queue (max_enqueued_batches * max_batch_size).
        slots: concurrent batches of a signature (num_batch_threads); default: number of cores.
    """

    max_rows: int = 32
    max_waiting_rows: int = 256
    slots: int = dataclasses.field(default_factory=lambda: len(os.sched_getaffinity(0)))


class _Request:
    __slots__ = ("batch", "deadline", "error", "inputs", "outputs", "rows", "shapes", "turn")

    def __init__(self, inputs: Arrays, rows: int, deadline: float | None):
        self.inputs, self.rows, self.deadline = inputs, rows, deadline
        self.shapes = tuple(array.shape[1:] for array in inputs.values())
        self.batch: list[_Request] | None = None  # set if this request's thread must run a batch
        self.outputs: Arrays | None = None
        self.error: Exception | None = None
        self.turn = threading.Lock()  # released when it is answered or must run a batch
        self.turn.acquire()


class BatchQueue:
    """The queue of one signature of one version.

    Args:
        run: computes output arrays from input arrays; the first dimension of all is rows.
        options: see `BatchingOptions`.
        observe: called with the number of rows of every batch.
    """

    def __init__(
        self,
        run: Callable[[Arrays], Arrays],
        options: BatchingOptions,
        observe: Callable[[int], None],
    ):
        self._run, self._options, self._observe = run, options, observe
        self._lock = threading.Lock()
        self._waiting: collections.deque[_Request] = collections.deque()
        self._waiting_rows = 0
        self._running: list[int] = []  # number of requests in each running batch

    @property
    def waiting_rows(self) -> int:
        """Rows in the queue, those of running batches not among them."""
        return self._waiting_rows

    def run(self, inputs: Arrays, rows: int, deadline: float | None) -> Arrays:
        """Returns the outputs for `inputs`, by name, each with `rows` rows.

        Args:
            inputs: arrays by name, always in the same order, each with `rows` rows.
            deadline: a time of time.monotonic(), or None.

        Raises:
            ServingError: RESOURCE_EXHAUSTED: the queue is full; DEADLINE_EXCEEDED.
            Exception: the model's error for this request.
        """
        request = _Request(inputs, rows, deadline)
        with self._lock:
            self._waiting.append(request)
            self._waiting_rows += rows
            turns = self._start_batches()
            if self._waiting_rows > self._options.max_waiting_rows and request in self._waiting:
                self._leave(request)
                request.error = _full(self._waiting_rows, rows, self._options.max_waiting_rows)
                turns.append(request)
        _give(turns)
        self._await_turn(request)
        if request.batch:
            self._lead(request)
        if request.error:
            raise request.error
        return request.outputs

    def _start_batches(self) -> list[_Request]:
        """Starts the batches that may run now; returns the requests to wake.

        These are the first request of each batch, which runs it, and expired requests.
        """
        turns = []
        while self._waiting and self._may_start():
            batch, late = self._next_batch()
            for request in late:
                request.error = _late()
            turns += late
            if batch:
                batch[0].batch = batch
                turns.append(batch[0])
                self._running.append(len(batch))
        return turns

    def _may_start(self) -> bool:
        if not self._running:
            return True
        worth_it = (
            len(self._waiting) >= min(self._running) or self._waiting_rows >= self._options.max_rows
        )
        return worth_it and len(self._running) < self._options.slots

    def _leave(self, request: _Request) -> None:
        self._waiting.remove(request)
        self._waiting_rows -= request.rows

    def _await_turn(self, request: _Request) -> None:
        if request.deadline is None:
            request.turn.acquire()
            return
        left = min(max(request.deadline - time.monotonic(), 0), threading.TIMEOUT_MAX)
        if request.turn.acquire(timeout=left):
            return
        with self._lock:
            if request.batch:  # it must run its batch in spite of its deadline: others depend on it
                return
            if request in self._waiting:
                self._leave(request)
        raise _late()

    def _lead(self, leader: _Request) -> None:
        """Runs a batch, then passes on the slot, then wakes the batch's other requests."""
        batch, leader.batch = leader.batch, None  # breaks a reference cycle
        try:
            self._answer(batch)
        finally:
            with self._lock:
                self._running.remove(len(batch))
                turns = self._start_batches()
            _give(turns)
            _give(request for request in batch if request is not leader)

    def _next_batch(self) -> tuple[list[_Request], list[_Request]]:
        """Takes a batch from the queue: the first request and later ones that fit.

        Returns: (batch, expired requests).
        """
        now, batch, late, rows = time.monotonic(), [], [], 0
        others: collections.deque[_Request] = collections.deque()
        for request in self._waiting:
            if request.deadline is not None and request.deadline <= now:
                late.append(request)
            elif not batch or (
                request.shapes == batch[0].shapes and rows + request.rows <= self._options.max_rows
            ):
                batch.append(request)
                rows += request.rows
            else:
                others.append(request)
        self._waiting = others
        self._waiting_rows = sum(request.rows for request in others)
        return batch, late

    def _answer(self, batch: list[_Request]) -> None:
        """Runs a batch and sets the outputs or error of each request."""
        try:
            self._run_merged(batch)
        except Exception as error:
            if len(batch) == 1:
                batch[0].error = error
                return
            # Runs the halves again, so that only the failing requests get the error.
            middle = len(batch) // 2
            self._answer(batch[:middle])
            self._answer(batch[middle:])
        except BaseException as error:
            for request in batch:
                request.error = error
            raise

    def _run_merged(self, batch: list[_Request]) -> None:
        total = sum(request.rows for request in batch)
        self._observe(total)
        if len(batch) == 1:
            batch[0].outputs = self._run(batch[0].inputs)
            return
        merged = {
            name: np.concatenate([request.inputs[name] for request in batch])
            for name in batch[0].inputs
        }
        outputs = self._run(merged)
        for name, array in outputs.items():
            if array.shape[:1] != (total,):
                raise ValueError(f"output {name!r} has shape {array.shape} for {total} rows")
        start = 0
        for request in batch:
            end = start + request.rows
            request.outputs = {name: array[start:end] for name, array in outputs.items()}
            start = end


def _give(turns: Iterable[_Request]) -> None:
    for request in turns:
        request.turn.release()


def _full(waiting: int, more: int, limit: int) -> ServingError:
    return ServingError(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        f"the batching queue is full: {waiting} rows wait, {more} more would exceed the limit of "
        f"{limit} (max_enqueued_batches times max_batch_size); try again later",
    )


def _late() -> ServingError:
    return ServingError(
        grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed while the request was waiting"
    )
