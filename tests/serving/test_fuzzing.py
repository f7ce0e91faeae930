"""Random requests get a proper status and leak no memory."""

import concurrent.futures
import http.client
import json
import random

import grpc
import pytest

from tests.serving.bare_calls import raw_call, resident_megabytes
from tests.serving.random_requests import random_message, random_post

REFUSED = {"INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND", "RESOURCE_EXHAUSTED"}

pytestmark = pytest.mark.usefixtures("still_serving")


def test_hundreds_of_random_requests_get_a_valid_status(server):
    fuzz(server, 400, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("clients", [1, 8])
def test_ten_thousand_random_requests_leak_no_memory(server, clients):
    fuzz(server, 2000, seed=2, clients=clients)  # pools and caches fill up first
    before = resident_megabytes(server.pid)
    fuzz(server, 10_000, seed=3, clients=clients)
    assert resident_megabytes(server.pid) - before < 40


def fuzz(server, count: int, seed: int, clients: int = 2) -> None:
    """Sends half over gRPC, half over REST; no response may be an internal error."""
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        shares = [(server, count // clients, f"{seed} {client}") for client in range(clients)]
        seen = set().union(*pool.map(lambda share: fuzz_alone(*share), shares))
    assert {"OK", "INVALID_ARGUMENT", 200, 400} <= seen


def fuzz_alone(server, count: int, seed: str) -> set:
    """Returns the statuses that one client got."""
    draw = random.Random(seed)
    seen = set()
    with grpc.insecure_channel(server.grpc) as channel:
        for _ in range(count // 2):
            method, message = random_message(draw)
            status, details = raw_call(channel, method, message)
            assert status in REFUSED | {"OK", "UNIMPLEMENTED"}, (message, details)
            seen.add(status)
    connection = http.client.HTTPConnection(server.rest, timeout=60)
    for _ in range(count // 2):
        path, body = random_post(draw)
        connection.request("POST" if body else "GET", path, body)
        response = connection.getresponse()
        answer = response.read()
        assert response.status in (200, 400, 404, 429, 501), (path, body, answer)
        json.loads(answer)
        seen.add(response.status)
    connection.close()
    return seen
