import queue
import threading
import time

import grpc
import numpy as np
import pytest

from serving.batching import BatchingOptions, BatchQueue
from serving.status import ServingError


class Model:
    """Doubles numbers, or does what `run` says; while `gate` is closed it holds whoever runs it."""

    def __init__(self, run=None, **options):
        self.gate, self.started = threading.Event(), threading.Semaphore(0)
        self.gate.set()
        self.batches = []
        self.queue = BatchQueue(run or self.run, BatchingOptions(**options), self.batches.append)

    def run(self, inputs):
        self.started.release()
        assert self.gate.wait(30)
        if (inputs["x"] < 0).any():
            raise ValueError("a negative number")
        return {"y": 2 * inputs["x"]}

    def ask(self, *values, deadline=None):
        outputs = self.queue.run({"x": np.array(values)}, len(values), deadline)
        return outputs["y"].tolist()

    def waiting(self, rows):
        """Waits until so many rows are in the queue."""
        end = time.monotonic() + 30
        while self.queue.waiting_rows != rows:
            assert time.monotonic() < end
            time.sleep(0.001)


class Asking(threading.Thread):
    """Runs a request in a thread; `answer` is its output or error."""

    def __init__(self, model, *values, deadline=None):
        super().__init__()
        self._ask = lambda: model.ask(*values, deadline=deadline)
        self.start()

    def run(self):
        try:
            self.result = self._ask()
        except Exception as error:
            self.result = error

    @property
    def answer(self):
        self.join(30)
        return self.result


def busy(**options) -> tuple[Model, Asking]:
    """Returns a model whose only slot is busy until its gate opens."""
    model = Model(slots=1, **options)
    model.gate.clear()
    first = Asking(model, 1)
    assert model.started.acquire(timeout=30)
    return model, first


def test_a_free_model_runs_a_request_at_once_in_its_own_thread():
    def thread(inputs):
        return {"y": np.array([threading.get_ident()])}

    assert Model(thread).ask(1) == [threading.get_ident()]


def test_waiting_requests_run_in_one_batch():
    model, first = busy()
    others = [Asking(model, value, value + 1) for value in range(10, 20, 2)]
    model.waiting(10)
    model.gate.set()
    assert first.answer == [2]
    assert sorted(each.answer for each in others) == [[2 * v, 2 * v + 2] for v in range(10, 20, 2)]
    assert model.batches == [1, 10]


def test_a_batch_has_no_more_rows_than_allowed():
    model, first = busy(max_rows=4)
    others = [Asking(model, value, value) for value in range(5)]
    model.waiting(10)
    model.gate.set()
    assert [each.answer for each in others] == [[2 * v, 2 * v] for v in range(5)]
    assert model.batches == [1, 4, 4, 2]


def test_only_requests_of_one_shape_are_merged():
    model, first = busy()
    wide = [Asking(model, [1, 2]), Asking(model, [3, 4])]
    model.waiting(2)
    narrow = Asking(model, 5)
    model.waiting(3)
    model.gate.set()
    assert [each.answer for each in wide] == [[[2, 4]], [[6, 8]]]
    assert narrow.answer == [10]
    assert model.batches == [1, 2, 1]


def test_a_full_queue_refuses_requests_with_the_reason():
    model, first = busy(max_waiting_rows=2)
    waiting = Asking(model, 2, 3)
    model.waiting(2)
    with pytest.raises(ServingError, match="queue is full: 2 rows wait") as error:
        model.ask(4)
    assert error.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    model.gate.set()
    assert (first.answer, waiting.answer) == ([2], [4, 6])
    assert model.ask(4) == [8]


def test_a_failing_request_does_not_fail_others_of_its_batch():
    model, first = busy()
    good, bad, other = Asking(model, 2), Asking(model, -1), Asking(model, 3)
    model.waiting(3)
    model.gate.set()
    assert (good.answer, other.answer) == ([4], [6])
    assert isinstance(bad.answer, ValueError)


def test_a_deadline_ends_the_wait_and_frees_space_in_the_queue():
    model, first = busy(max_waiting_rows=1)
    with pytest.raises(ServingError) as error:
        model.ask(2, deadline=time.monotonic() + 0.01)
    assert error.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
    waiting = Asking(model, 3)
    model.waiting(1)
    model.gate.set()
    assert waiting.answer == [6]
    assert model.batches == [1, 1]


def assert_two_batches_run_at_a_time(model):
    model.gate.clear()
    model.started = threading.Semaphore(0)
    both = [Asking(model, 1), Asking(model, 2)]
    assert model.started.acquire(timeout=30) and model.started.acquire(timeout=30)
    model.gate.set()
    assert [each.answer for each in both] == [[2], [4]]


def test_several_slots_run_several_batches_at_a_time():
    assert_two_batches_run_at_a_time(Model(slots=2))


def beside_three() -> tuple[Model, list[Asking]]:
    """A model of two slots whose one runs a batch of 3, 4 and 5, and whose other is free."""

    def run(inputs):
        numbers = inputs["x"].tolist()
        model.begun.put(numbers)
        assert model.gates[numbers[0]].wait(30)
        return {"y": 2 * inputs["x"]}

    model = Model(run, slots=2, max_rows=4)
    model.begun = queue.SimpleQueue()
    model.gates = {number: threading.Event() for number in range(1, 10)}  # by the first number
    pair = []
    for number in (1, 2):  # one request waits, and the running batch has one
        pair.append(Asking(model, number))
        assert model.begun.get(timeout=30) == [number]
    three = []
    for count, number in enumerate((3, 4, 5), start=1):
        three.append(Asking(model, number))
        model.waiting(count)
    for number in (1, 2):
        model.gates[number].set()
    assert model.begun.get(timeout=30) == [3, 4, 5]
    assert [each.answer for each in pair] == [[2], [4]]
    return model, three


def test_a_slot_waits_for_as_many_requests_as_the_running_batch_has_merged():
    model, three = beside_three()
    waiting = [Asking(model, 6)]
    model.waiting(1)
    waiting.append(Asking(model, 7))
    model.waiting(2)
    assert model.begun.empty()
    waiting.append(Asking(model, 8))
    assert model.begun.get(timeout=30) == [6, 7, 8]
    waiting.append(Asking(model, 9))
    model.waiting(1)
    model.gates[3].set()
    assert [each.answer for each in three] == [[6], [8], [10]]
    assert model.begun.empty()
    model.gates[6].set()
    assert model.begun.get(timeout=30) == [9]
    model.gates[9].set()
    assert [each.answer for each in waiting] == [[12], [14], [16], [18]]


def test_rows_that_fill_a_batch_do_not_wait_for_more_requests():
    model, three = beside_three()
    first = Asking(model, 6, 7)
    model.waiting(2)
    assert model.begun.empty()
    second = Asking(model, 8, 9)
    assert model.begun.get(timeout=30) == [6, 7, 8, 9]
    for gate in model.gates.values():
        gate.set()
    assert [each.answer for each in (*three, first, second)] == [
        *([2 * number] for number in (3, 4, 5)),
        [12, 14],
        [16, 18],
    ]


def test_many_threads_each_get_their_own_outputs():
    model = Model(max_rows=8, max_waiting_rows=1000, slots=2)

    def ask_often(start, wrong):
        for value in range(start, start + 200):
            if model.ask(value) != [2 * value]:
                wrong.append(value)

    wrong = []
    threads = [threading.Thread(target=ask_often, args=(1000 * i, wrong)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sum(model.batches) == 16 * 200
    assert_two_batches_run_at_a_time(model)  # no slot is lost
