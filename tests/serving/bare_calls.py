"""Requests as raw bytes, which no client would send, and the memory of the server."""

import http.client
import os

import grpc

__all__ = ["http_call", "raw_call", "resident_megabytes"]


def raw_call(channel, method: str, message: bytes) -> tuple[str, str]:
    call = channel.unary_unary(f"/tensorflow.serving.{method}", None, None)
    try:
        call(message, timeout=60)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    return "OK", ""


def http_call(server, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.rest, timeout=60)
    connection.request(method, path, body)
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    return response.status, answer


def resident_megabytes(pid: int) -> float:
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
