"""Many concurrent clients that send requests without a pause."""

import collections
import threading
from collections.abc import Callable

from serving.client_error import RequestError
from serving.grpc_client import GrpcClient
from serving.rest_client import RestClient

__all__ = ["Clients"]


class Clients:
    """Threads that send requests to the newest version of "words" until stopped or refused.

    The `protocols` are assigned to them in turn.

    Attributes:
        answers: number of responses by version.
        errors: errors; a client with an error stops.
    """

    def __init__(self, server, count: int, signature: str = "", protocols=("grpc", "rest")):
        self.answers: collections.Counter[int] = collections.Counter()
        self.errors: list[RequestError] = []
        self._stop, self._changed = threading.Event(), threading.Condition()
        self._threads = []
        for i in range(count):
            rest = protocols[i % len(protocols)] == "rest"
            make = RestClient if rest else GrpcClient
            client = make(
                server.rest if rest else server.grpc, "words", retries=0, deadline_seconds=60
            )
            self._threads.append(threading.Thread(target=self._ask, args=(client, signature)))
        for thread in self._threads:
            thread.start()

    def wait_until(self, true: Callable[[collections.Counter], bool]) -> None:
        """Waits up to a minute for responses; fails with the first error."""
        with self._changed:
            found = self._changed.wait_for(lambda: self.errors or true(self.answers), 60)
        assert found and not self.errors, (self.errors[:3], self.answers)

    def wait_for_errors(self, count: int) -> None:
        """Waits up to a minute for `count` errors."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.errors) >= count, 60), self.answers

    def stop(self) -> None:
        self._stop.set()
        self.join()

    def join(self) -> None:
        """Waits until every client has stopped."""
        for thread in self._threads:
            thread.join()

    def _ask(self, client, signature: str) -> None:
        while not self._stop.is_set():
            try:
                outputs = client.predict({"text": ["abc"]}, signature)
            except RequestError as error:
                with self._changed:
                    self.errors.append(error)
                    self._changed.notify_all()
                break
            with self._changed:
                self.answers[int(outputs["version"][0])] += 1
                self._changed.notify_all()
        client.close()
