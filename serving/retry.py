"""Retries with exponential back-off and jitter, within a deadline."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from serving.client_error import RequestError

__all__ = ["with_retries"]

_Result = TypeVar("_Result")
_FIRST_SECONDS, _LONGEST_SECONDS = 0.1, 2.0


def with_retries(
    call: Callable[[float], _Result], deadline_seconds: float, retries: int
) -> _Result:
    """Returns the result of `call`; retries only after UNAVAILABLE.

    Other errors are about the request, or the request may have had an effect. Retry n (from 0)
    waits a random time of up to 0.1 s * 2**n, at most 2 s, so that clients of a restarted server do
    not return all at once.

    Args:
        call: one attempt; gets the seconds left, raises RequestError.
        deadline_seconds: float, for all attempts together.
        retries: int, the most retries.

    Raises:
        RequestError: the error of the last attempt.
    """
    end = time.monotonic() + deadline_seconds
    for attempt in range(retries + 1):
        try:
            return call(max(end - time.monotonic(), 0.001))
        except RequestError as error:
            pause = random.uniform(0, min(_FIRST_SECONDS * 2**attempt, _LONGEST_SECONDS))
            out_of_time = time.monotonic() + pause >= end
            if error.code != "UNAVAILABLE" or attempt == retries or out_of_time:
                raise
        time.sleep(pause)
    raise AssertionError("the loop returns or raises")
