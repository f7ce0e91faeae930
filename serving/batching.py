"""Requests that wait together are answered together, and nobody waits while the model is idle.

There is no thread of its own: a request's thread runs the model for itself and for those that are
in its batch. While the model is idle it does so at once, alone; what comes meanwhile waits in a
bounded queue. One client alone therefore pays no hand-over between threads, and many share the
model's fixed costs.

Another batch starts beside those that run when as many requests wait as the smallest of these has
merged, or enough rows for a full batch. Two clients thus have a slot each, and thirty-two on two
slots are not served in crumbs: each takes what came while the other was at work.
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
    """How requests are merged; the names in a batching parameters file are in parentheses.

    Attributes:
        max_rows: the most rows of a batch (max_batch_size).
        max_waiting_rows: the most rows in the queue (max_enqueued_batches * max_batch_size).
        slots: batches of one signature that run at a time (num_batch_threads); by default as many
            as there are cores.
    """

    max_rows: int = 32
    max_waiting_rows: int = 256
    slots: int = dataclasses.field(default_factory=lambda: len(os.sched_getaffinity(0)))


class _Request:
    __slots__ = ("batch", "deadline", "error", "inputs", "outputs", "rows", "shapes", "turn")

    def __init__(self, inputs: Arrays, rows: int, deadline: float | None):
        self.inputs, self.rows, self.deadline = inputs, rows, deadline
        self.shapes = tuple(array.shape[1:] for array in inputs.values())
        self.batch: list[_Request] | None = None  # set when it has to run one
        self.outputs: Arrays | None = None
        self.error: Exception | None = None
        self.turn = threading.Lock()  # released when it is answered, or has to run a batch
        self.turn.acquire()


class BatchQueue:
    """The queue before one signature of one version.

    Args:
        run: from input arrays to output arrays, the first dimension of all being rows.
        options: see `BatchingOptions`.
        observe: told the rows of every batch.
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
        self._running: list[int] = []  # how many requests each batch that runs has merged

    @property
    def waiting_rows(self) -> int:
        """Rows in the queue, those of running batches not among them."""
        return self._waiting_rows

    def run(self, inputs: Arrays, rows: int, deadline: float | None) -> Arrays:
        """The outputs for `inputs`, by name, each with `rows` rows.

        Args:
            inputs: arrays by name, always in the same order, each with `rows` rows.
            deadline: a time of time.monotonic(), after which the answer is of no use; or None.

        Raises:
            ServingError: RESOURCE_EXHAUSTED: the queue is full; DEADLINE_EXCEEDED.
            Exception: what the model raised for this request.
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
        """Takes from the queue what may run now; returns whose turn it is: those that lead the
        batches, and those that are too late."""
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
            if request.batch:  # a batch depends on it: the others must not pay for its lateness
                return
            if request in self._waiting:
                self._leave(request)
        raise _late()

    def _lead(self, leader: _Request) -> None:
        """Runs a batch, hands the slot on, then wakes those it ran for: in this order."""
        batch, leader.batch = leader.batch, None  # or each would hold the other
        try:
            self._answer(batch)
        finally:
            with self._lock:
                self._running.remove(len(batch))
                turns = self._start_batches()
            _give(turns)
            _give(request for request in batch if request is not leader)

    def _next_batch(self) -> tuple[list[_Request], list[_Request]]:
        """Takes the first in the queue, and those behind it that fit into its batch."""
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
        """Sets outputs or error of each request."""
        try:
            self._run_merged(batch)
        except Exception as error:
            if len(batch) == 1:
                batch[0].error = error
                return
            # One of them is to blame, and only that one must hear of it: halves find it soon.
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
